// Compiled code, threads, children, sockets, WebAssembly; prints the same on every machine.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const child = require('child_process');

function fibonacci(n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

function compiled() {
  console.log('fibonacci', fibonacci(25));
  let sum = 0;
  for (let k = 0; k < 3e6; k++) sum = (sum * 31 + k) | 0;
  console.log('loop', sum, 'sine', [1, 2, 3].map(Math.sin).join(' '));
  console.log('hash', require('crypto').createHash('sha256').update('abc').digest('hex'));
  console.log('zip', require('zlib').gunzipSync(require('zlib').gzipSync('x'.repeat(100000))).length);
  console.log('pattern', /^(a+)+b$/.test('a'.repeat(14) + 'b'));
  try { (function deeper() { deeper(); })(); } catch (error) { console.log(error instanceof RangeError); }
  const add = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0,
    10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11]);
  console.log('wasm', new WebAssembly.Instance(new WebAssembly.Module(add)).exports.add(2, 40));
}

async function workers() {
  const answers = await Promise.all([0, 1, 2, 3].map(number => new Promise((resolve, reject) => {
    const worker = new Worker(__filename, { workerData: number });
    worker.on('message', resolve).on('error', reject);
  })));
  console.log('workers', answers.join(' '));
}

async function children() {
  console.log('exec', await new Promise(resolve => child.exec('echo from a shell; uname -m', (error, out) => resolve(`${error} ${out}`))));
  console.log('pipe', child.spawnSync('cat', { input: 'through' }).stdout.toString());
  console.log('missing', child.spawnSync('/no/such').error.code);
  const forked = child.fork(__filename, ['child']);
  console.log('fork', await new Promise(resolve => forked.on('message', resolve)));
  forked.kill('SIGTERM');
  console.log('ended', await new Promise(resolve => forked.on('exit', (code, signal) => resolve(`${code} ${signal}`))));
}

async function network() {
  const net = require('net');
  const server = net.createServer(socket => socket.end('served'));
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  console.log('network', await new Promise(resolve => net.connect(server.address().port, '127.0.0.1').on('data', data => resolve(`${data}`))));
  server.close();
}

if (!isMainThread) {
  let objects = [];
  for (let k = 0; k < 100000; k++) { objects.push({ k, text: 'x' + k }); if (objects.length > 1000) objects = []; }
  parentPort.postMessage(`${workerData}:${objects.length}`);
} else if (process.argv[2] === 'child') {
  process.send(process.arch);
  setTimeout(() => {}, 600000);
} else {
  (async () => { compiled(); await workers(); await children(); await network(); })();
}

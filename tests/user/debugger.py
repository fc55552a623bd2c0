"""gdb attached to a guest program (-g)."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import harness
from gdb_stub import Stub, gdb_answers, gdb_arguments
from harness import PATIENCE, Failure, Skip, compile_program, emulator, expect, user_test

PROGRAM = r"""
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
int counter, looked = 7;
volatile int spin = 1, go_on;
volatile long rounds;
char *look_at;
pthread_barrier_t barrier;
__attribute__((noipa)) int add(int a, int b) { counter = a + b; return counter; }
__attribute__((noipa)) int look(void) { return looked; }
void handler(int number, siginfo_t *info, void *context) { counter += 100; }
void *worker(void *nothing) {
  pthread_barrier_wait(&barrier);
  while (spin) rounds++;
  return 0;
}
int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, 0);
  add(1, 2);
  raise(SIGUSR1);
  printf("%d %d\n", atoi(getenv("PATH") ? "42" : "0"), counter);
  fflush(stdout);
  if (!strcmp(what, "exec")) execl("/proc/self/exe", argv[0], "executed", (char *)0);
  if (!strcmp(what, "crash")) *(volatile int *)0x10 = 1;
  if (!strcmp(what, "abort")) abort();
  if (!strcmp(what, "pause")) while (!go_on) pause();
  if (!strcmp(what, "fork")) {
    int status;
    if (!fork()) _exit(add(20, 3));
    wait(&status);
    printf("%d\n", WEXITSTATUS(status));
  }
  if (!strcmp(what, "threads")) {
    pthread_t thread;
    pthread_barrier_init(&barrier, 0, 2);
    pthread_create(&thread, 0, worker, 0);
    pthread_barrier_wait(&barrier);
    add(3, 4);
    spin = 0;
    pthread_join(thread, 0);
  }
  if (!strcmp(what, "beyond")) {
    char *two = mmap(0, 8192, PROT_READ, MAP_PRIVATE, open(argv[0], O_RDONLY), lseek(open(argv[0], O_RDONLY), 0, SEEK_END) & -4096);
    look_at = two;
  }
  look();
  add(5, 6);
  return 5;
}
"""


def gdb_program():
    found = shutil.which("gdb-multiarch")
    if not found:
        raise Skip("gdb-multiarch is not installed")
    return found


def program(static=False):
    harness.WORK.mkdir(parents=True, exist_ok=True)
    source = harness.WORK / "debugged.c"
    if not source.exists() or source.read_text() != PROGRAM:
        source.write_text(PROGRAM)
    return compile_program(source, static=static, flags=["-g"])


@contextlib.contextmanager
def guest(*arguments, options=(), static=False, port=None):
    """A program that waits for a debugger; yields gdb's name of the place and the process."""
    with tempfile.TemporaryDirectory() as folder:
        place = str(port) if port else f"{folder}/gdb"
        process = subprocess.Popen([emulator(), "-L", harness.GUEST_SYSROOT, *options, "-g", place, program(static), *arguments],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + PATIENCE
            while not port and not os.path.exists(place):
                expect(process.poll() is None, f"the emulator ended: {process.stderr.read() if process.poll() is not None else ''}")
                expect(time.monotonic() < deadline, "the stub's socket did not appear")
                time.sleep(0.01)
            yield f":{port}" if port else place, process
        finally:
            process.kill()
            process.communicate()


def gdb(place, *commands, file=True):
    """Runs gdb with these commands; what each of those that are ('name', command) printed, by name."""
    line = [gdb_program(), "-nx", "-batch"]
    for setting in ("confirm off", "pagination off", "width 0", "debuginfod enabled off"):
        line += ["-ex", f"set {setting}"]
    line += ["-ex", f"target remote {place}"]
    line += gdb_arguments(commands)
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    output = done.stdout + done.stderr
    return output, gdb_answers(done.stdout)


def said(answer, **wanted):
    output, parts = answer
    for name, pattern in wanted.items():
        expect(name in parts and re.search(pattern, parts[name]), f"{name}: '{pattern}' is not in '{parts.get(name)}'; gdb said:\n{output[-4000:]}")


ACCELS = ("tcg", "interp")


@user_test
def gdb_breaks_steps_and_looks():
    for accel in ACCELS:
        with guest(options=["-accel", accel]) as (place, process):
            answer = gdb(place, "break add", "continue", ("where", "backtrace"), ("a", "p $a0"), "stepi", ("moved", "x/i $pc"), ("finish", "finish"),
                         "handle SIGUSR1 nostop noprint pass", "break strtol", "continue", ("library", "backtrace"), ("libraries", "info sharedlibrary"), "delete", "hbreak look", "continue", ("hard", "backtrace 1"),
                         "set var looked = 9", ("result", "finish"), ("call", "p add(30, 12)"), ("counter", "p counter"), ("float", "p $fcsr"), ("auxv", "info auxv"), ("end", "continue"))
            said(answer, where=r"(?s)#0 .*add \(a=(a@entry=)?1, b=(b@entry=)?2\).*#1 .*main", a="= 1", moved="=> 0x", finish="Value returned is .* = 3", library=r"(?s)strto[lq].*main", libraries="libc.so.6",
                 hard="look", result="Value returned is .* = 9", call="= 42", counter="= 42", float="= ", auxv=r"(?s)AT_PHDR.*AT_EXECFN.*debugged", end="exited with code 05")
            expect(process.wait(timeout=PATIENCE) == 5, f"exit status {process.returncode}")
            expect(process.stdout.read() == "42 103\n", "the program's output")


@user_test
def gdb_sees_signals():
    with guest() as (place, process):
        answer = gdb(place, "handle SIGUSR1 stop print pass", "break handler", ("stop", "continue"), ("code", "p $_siginfo.si_code"), ("sender", "p $_siginfo._sifields._kill.si_pid"),
                     ("handler", "continue"), ("frames", "backtrace"), ("finish", "finish"), "stepi", ("back", "backtrace"), "continue")
        said(answer, stop="Program received signal SIGUSR1", code="= -6", sender=f"= {process.pid}", handler=r"handler \(number=10", frames=r"(?s)#0 .*handler.*#1 +<signal handler called>.*main",
             finish="signal handler called", back="main")
        expect(process.wait(timeout=PATIENCE) == 5, f"exit status {process.returncode}")
        expect(process.stdout.read() == "42 103\n", "the program's output")
    # Taken away, it does nothing.
    with guest() as (place, process):
        said(gdb(place, "continue", "handle SIGUSR1 stop print nopass", ("end", "continue")), end="exited with code 05")
    with guest() as (place, process):
        gdb(place, "handle SIGUSR1 stop print nopass", "continue", "continue")
        expect(process.stdout.read() == "42 3\n", "the signal was delivered")
    with guest("crash") as (place, process):
        answer = gdb(place, "handle SIGUSR1 nostop noprint pass", ("crash", "continue"), ("where", "backtrace"), ("address", "p $_siginfo._sifields._sigfault.si_addr"), ("dead", "continue"))
        said(answer, crash="SIGSEGV", where="main", address="0x10", dead="terminated with signal SIGSEGV")
        expect(process.wait(timeout=PATIENCE) == -signal.SIGSEGV, f"exit status {process.returncode}")
    with guest("abort") as (place, process):
        said(gdb(place, "handle SIGUSR1 nostop noprint pass", ("abort", "continue"), ("dead", "continue")), abort="SIGABRT", dead="terminated with signal SIGABRT")


@user_test
def gdb_watches():
    for accel in ACCELS:
        with guest(options=["-accel", accel], static=True) as (place, _):
            answer = gdb(place, "handle SIGUSR1 nostop noprint pass", "break main", "continue", "delete", "watch counter", ("first", "continue"), ("in_add", "backtrace 1"), ("second", "continue"),
                         ("in_handler", "backtrace 1"), "delete", "rwatch looked", ("read", "continue"), "delete", "awatch counter", ("access", "continue"), ("end", "continue"))
            said(answer, first=r"Old value = 0\s+New value = 3", in_add="add", second=r"Old value = 3\s+New value = 103", in_handler="handler", read="read watchpoint", access=r"Old value = 103\s+New value = 11")


@user_test
def gdb_sees_threads():
    for accel in ACCELS:
        with guest("threads", options=["-accel", accel]) as (place, process):
            answer = gdb(place, "handle SIGUSR1 nostop noprint pass", "break add if a == 3", "continue", ("threads", "info threads"), "thread 2", ("other", "backtrace"),
                         "set scheduler-locking on", ("here", "p $pc"), "stepi", ("there", "p $pc"), "thread 1", ("still", "backtrace 1"), "set scheduler-locking off",
                         "delete", ("end", "continue"))
            said(answer, threads=r"(?s)\* 1 .*add.*  2 .*", other=r"(?s)worker", here="= ", there="= ", still=r"add \(a=(a@entry=)?3, b=(b@entry=)?4\)", end="exited with code 05")
            expect(answer[1]["here"].split("=")[1] != answer[1]["there"].split("=")[1], f"a step went nowhere: {answer[1]['here']}")


@user_test
def gdb_interrupts_and_attaches_again():
    with guest("pause") as (place, process):
        line = [gdb_program(), "-nx", "-q", "-ex", "set confirm off", "-ex", "set debuginfod enabled off", "-ex", "set pagination off", "-ex", f"target remote {place}",
                "-ex", "handle SIGUSR1 nostop noprint pass"]
        debugger = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        debugger.stdin.write("continue\n")
        debugger.stdin.flush()
        expect(process.stdout.readline() == "42 103\n", "it does not run")
        debugger.send_signal(signal.SIGINT)
        out, _ = debugger.communicate("backtrace\np add(1, 1)\np look()\nset var go_on = 0\ndetach\nquit\n", timeout=PATIENCE)
        expect("SIGINT" in out and "main" in out and "= 2" in out and "= 7" in out, out)
        expect(process.poll() is None, "it ended")
        answer = gdb(place, ("waits", "backtrace"), "set var go_on = 1", "handle SIGUSR1 nostop noprint pass", ("end", "signal SIGUSR1"))
        said(answer, waits="pause", end="exited with code 05")
        expect(process.wait(timeout=PATIENCE) == 5, f"exit status {process.returncode}")


@user_test
def gdb_over_tcp_and_without_a_debugger():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with guest(port=port) as (place, process):
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()  # comes and goes: the program runs on
                break
            time.sleep(0.05)
        expect(process.wait(timeout=PATIENCE) == 5, f"exit status {process.returncode}")
    got = harness.run([emulator(), "-g", "/no/such/folder/socket", program()])
    expect(got.returncode == 1 and re.fullmatch(r"lyrebird-riscv64: -g: [^\n]+\n", got.stderr), got.stderr)
    got = harness.run([emulator(), "-g", "70000", program()])
    expect(got.returncode == 1 and "is no TCP port" in got.stderr, got.stderr)


@user_test
def gdb_forks_and_kill():
    with guest("fork") as (place, process):
        said(gdb(place, "handle SIGUSR1 nostop noprint pass", "break add if a == 5", "continue", ("counter", "p counter"), ("end", "continue")), counter="= 103", end="exited with code 05")
        expect(process.stdout.read() == "42 103\n23\n", "the child did not run")
    with guest() as (place, process):
        gdb(place, "kill")
        expect(process.wait(timeout=PATIENCE) == -signal.SIGKILL, f"exit status {process.returncode}")


@user_test
def the_gdb_protocol_itself():
    with guest("pause", static=True) as (place, process):
        stub = Stub(place, PATIENCE)
        expect("qXfer:auxv:read+" in stub.ask("qSupported:multiprocess+"), "qSupported")
        first = stub.ask("?")
        thread = re.fullmatch(r"T05thread:(p[0-9a-f]+\.[0-9a-f]+);", first).group(1)
        expect(stub.ask("qAttached") == "0", "qAttached")
        expect(stub.ask("QCatchSyscalls:1;62;5d") == "OK", "QCatchSyscalls")
        expect(stub.ask("QPassSignals:1e") == "OK", "QPassSignals")
        stub.send("vCont;c")
        time.sleep(0.3)
        stub.socket.sendall(b"\x03")
        expect(stub.answer() == f"T02thread:{thread};", "the interrupt")
        # It waits in ppoll's cousin, pause; registers written there count.
        stub.send(f"vCont;C0f:{thread}")
        expect(stub.answer() == f"X0f;process:{thread[1:].split('.')[0]}", "the end by SIGTERM")
        expect(process.wait(timeout=PATIENCE) == -signal.SIGTERM, f"exit status {process.returncode}")
    with guest(static=True) as (place, process):
        stub = Stub(place, PATIENCE)
        stub.ask("QPassSignals:1e")
        expect(stub.ask("QCatchSyscalls:1;40") == "OK", "QCatchSyscalls")
        expect(re.fullmatch(r"T05thread:[0-9a-f]+;syscall_entry:40;", stub.ask("vCont;c")), "entry of write")
        before = stub.ask("p20")
        expect(re.fullmatch(r"T05thread:[0-9a-f]+;syscall_return:40;", stub.ask("vCont;c")), "return of write")
        after = stub.ask("p20")
        expect(int.from_bytes(bytes.fromhex(after), "little") == int.from_bytes(bytes.fromhex(before), "little") + 4, "pc behind the call")
        expect(int.from_bytes(bytes.fromhex(stub.ask("pa")), "little") == len("42 103\n"), "its result")
        expect(stub.ask("QCatchSyscalls:0") == "OK", "QCatchSyscalls")
        expect(stub.ask("vCont;c") == "W05", "the end")


@user_test
def gdb_follows_exec():
    with guest("exec") as (place, process):
        answer = gdb(place, "handle SIGUSR1 nostop noprint pass", "catch exec", ("stop", "continue"), ("here", "info registers pc"), "break look", ("look", "continue"), ("argument", "up"),
                     ("what", "p what"), ("end", "continue"))
        said(answer, stop=r"Catchpoint 1 \(exec'd .*debugged", here="pc ", look=r"Breakpoint 2.* look \(\)", argument="main", end="exited with code 05")
        expect(process.wait(timeout=PATIENCE) == 5, f"exit status {process.returncode}")
        expect(process.stdout.read() == "42 103\n" * 2, "the programs' output")
    # Without a debugger that knows of it the program runs on alone.
    with guest("exec", static=True) as (place, process):
        stub = Stub(place, PATIENCE)
        stub.ask("QPassSignals:1e")
        stub.send("vCont;c")
        expect(process.wait(timeout=PATIENCE) == 5, f"exit status {process.returncode}")


@user_test
def gdb_looks_where_nothing_is():
    with guest("beyond") as (place, process):
        answer = gdb(place, "handle SIGUSR1 nostop noprint pass", "break look", "continue", ("there", "x/bx look_at"), ("beyond", "x/gx look_at + 4096"), ("none", "x/gx 8"), ("emulator", "x/gx 0x7fffffff0000"),
                     ("write", "p *(int *)8 = 1"), ("code", "p/x *(short *)$pc = 0x9002"), ("patched", "x/i $pc"), ("maps", "info proc mappings"), ("alive", "p looked"))
        said(answer, there=r"0x[0-9a-f]{2}$", code="= 0x9002", patched="ebreak", maps=r"(?s)debugged.*libc\.so", alive="= 7")
        expect(len(re.findall("Cannot access memory at address", answer[0])) == 4, answer[0])
        expect("lyrebird" not in answer[1]["maps"], answer[1]["maps"])


BUSY = r"""
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int sum;
static volatile long beats[8];
static void handler(int number) { sum++; }
static void *work(void *place) {
  for (long *beat = place;; ++*beat) {
    switch (*beat % 5) {
      case 0: usleep(100); break;
      case 1: free(malloc(1000)); break;
      case 2: pthread_kill(pthread_self(), SIGUSR1); break;
      case 3: for (int k = 0; k < 10000; k++) sum += k; break;
      case 4:
        if (*beat % 50 == 4) {
          pid_t child = fork();
          if (!child) _exit(0);
          waitpid(child, 0, 0);
        }
    }
  }
  return 0;
}
int main() {
  pthread_t thread;
  signal(SIGUSR1, handler);
  for (int k = 0; k < 6; k++) pthread_create(&thread, 0, work, (void *)&beats[k]);
  work((void *)&beats[7]);
}
"""


@user_test
def a_busy_program_stops_and_goes_on():
    harness.WORK.mkdir(parents=True, exist_ok=True)
    source = harness.WORK / "busy.c"
    if not source.exists() or source.read_text() != BUSY:
        source.write_text(BUSY)
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/gdb"
        process = subprocess.Popen([emulator(), "-g", place, compile_program(source)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            while not os.path.exists(place):
                time.sleep(0.01)
            for _ in range(3):
                stub = Stub(place, PATIENCE)
                stub.ask("qSupported:multiprocess+")
                stub.ask("QPassSignals:1e;14")
                stub.ask("?")
                for turn in range(40):
                    stub.send("vCont;c")
                    time.sleep(0.005)
                    stub.socket.sendall(b"\x03")
                    stop = stub.answer()
                    expect(stop.startswith("T02thread:"), stop)
                    threads = stub.ask("qfThreadInfo")[1:].split(",")
                    for thread in threads[:2]:
                        stub.ask(f"Hg{thread}")
                        expect(len(stub.ask("g")) == 33 * 16, "registers")
                    if turn % 4 == 0:
                        for _ in range(3):  # the others run: it may wait for one of them
                            stub.send(f"vCont;s:{threads[turn % len(threads)]};c")
                            stop = stub.answer()
                            expect(stop.startswith("T05thread:"), stop)
                expect(len(threads) == 7, f"threads: {threads}")
                expect(stub.ask("D;1") == "OK", "detach")
                stub.socket.close()
                time.sleep(0.05)
                expect(process.poll() is None, f"it ended: {process.stderr.read() if process.poll() is not None else ''}")
        finally:
            process.kill()
            process.communicate()

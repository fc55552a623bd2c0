"""`compare --user`: Debian's riscv64 programs under Lyrebird's and QEMU's user mode, and the same programs of this host's own.

Each side is a process in namespaces of its own (inside.py) with an unpacked Debian as its root and the emulator registered with the
kernel, as a user of containers has it. Outputs are compared.
"""
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

from . import programs, qemu
from .guest import BuildError, run_tool

INSIDE = Path(__file__).resolve().parent / "inside.py"
GUEST = "riscv64"
NATIVE = "amd64"
COMPILERS = {GUEST: "riscv64-linux-gnu-gcc", NATIVE: "gcc"}
# The start of an ELF header of the guest: 64 bits, little-endian, executable or shared, EM_RISCV.
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xf3\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def unpack_tree(build, architecture):
    """A registry out of step with its index is asked again; what came before is not kept."""
    tree = build / "user" / architecture
    if tree.exists():
        return tree
    if not shutil.which("mmdebstrap"):
        raise BuildError("unpacking Debian's programs needs mmdebstrap (apt-get install mmdebstrap)")
    print(f"unpacking Debian's {architecture} programs (once) ...", flush=True)
    part = tree.with_name(tree.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(4):
        shutil.rmtree(part, ignore_errors=True)
        done = subprocess.run(["mmdebstrap", "--quiet", "--variant=extract", f"--architectures={architecture}",
                               "--aptopt=Acquire::Check-Valid-Until \"false\"", "--aptopt=Acquire::Retries \"3\"",
                               f"--include={programs.PACKAGES}", "trixie", str(part), qemu.debian_mirror()], capture_output=True, text=True)
        if done.returncode == 0:
            part.rename(tree)
            return tree
    raise BuildError(f"mmdebstrap could not unpack Debian's {architecture} programs in four attempts:\n{done.stderr[-2000:]}")


class Side:
    """One emulator, or the host itself."""

    def __init__(self, name, tree, architecture, emulator=None):
        self.name, self.architecture, self.results, self.memory = name, architecture, {}, {}
        if not shutil.which("unshare"):
            raise BuildError("running programs of another root needs 'unshare' (util-linux)")
        entry = [f":{name}:M::{MAGIC}:{MASK}:{emulator}:FPO"] if emulator else []
        self.process = subprocess.Popen(["unshare", "--user", "--map-root-user", "--mount", sys.executable, str(INSIDE), str(tree), *entry],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        answer = self.answer()
        if answer["status"]:
            raise BuildError(f"{name}: a namespace with binfmt_misc of its own (Linux 6.7) can not be made here: {answer['output']}")

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise BuildError(f"{self.name}: the programs can not be run in a namespace of their own: {self.process.stderr.read().strip()}")
        return json.loads(line)

    def ask(self, **job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def prepare(self, files):
        for path, content in files.items():
            if self.ask(write=path, hex=content.hex())["status"]:
                raise BuildError(f"{self.name}: {path} can not be written")

    def run(self, job):
        for _ in range(job.repeat):
            self.results.setdefault(job.name, []).append(self.ask(argv=job.argv))
        return self.results[job.name][-1]

    def measure(self, name, argv):
        self.memory.setdefault(name, []).append(self.ask(argv=argv, after=1.0))

    def seconds(self, name, clock):
        return median(r["cpu_seconds" if clock == "cpu" else "seconds"] for r in self.results[name])

    def pss_mib(self, name):
        return median(r["pss_kib"] for r in self.memory[name]) / 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def build_sleeper(build):
    """The program with threads whose memory is measured, for guest and host."""
    source = build / "user" / "sleeper.c"
    source.write_text(programs.SLEEPER)
    made = {}
    for architecture, compiler in COMPILERS.items():
        target = source.with_suffix("." + architecture)
        run_tool([compiler, "-O2", "-static", "-pthread", "-o", target, source], f"building the {architecture} program with threads")
        made[architecture] = target.read_bytes()
    return made


class UserSession:
    def __init__(self, options, build, lyrebird):
        self.options = options
        self.jobs = self.chosen(options.only)
        trees = {a: unpack_tree(build, a) for a in (GUEST, NATIVE)}
        sleeper = build_sleeper(build)
        self.sides = [Side("lyrebird", trees[GUEST], GUEST, lyrebird)]
        if not options.no_qemu:
            command = qemu.in_folder(options.qemu, qemu.USER_PROGRAM) if options.qemu else qemu.unpacked_user(build)
            print(qemu.version(command), flush=True)
            self.sides.append(Side("qemu", trees[GUEST], GUEST, command[0]))
        self.sides.append(Side("native", trees[NATIVE], NATIVE))
        files = {path: make() for path, make in programs.FILES.items()}
        for side in self.sides:
            side.prepare({**files, "/tmp/sleeper": sleeper[side.architecture]})

    @staticmethod
    def chosen(only):
        names = [j.name for j in programs.JOBS]
        words = [w for w in only.split(",") if w] if only else names + ["memory"]
        for word in words:
            if word not in names and word != "memory":
                raise BuildError(f"--only: there is no program '{word}' in {', '.join(names)}, memory")
        return words

    def run(self):
        for number in range(self.options.runs):
            for job in programs.JOBS:
                if job.name in self.jobs:
                    told = [f"{s.name} {s.run(job)['seconds']:.2f} s" for s in self.sides]
                    print(f"run {number + 1}/{self.options.runs} {job.name}: {', '.join(told)}", flush=True)
            if "memory" in self.jobs:
                for name, argv in programs.MEMORY.items():
                    for side in self.sides:
                        side.measure(name, argv)
        for side in self.sides:
            side.close()

    def problems(self):
        """Failures and outputs that are not the same, as sentences."""
        found = []
        for job in programs.JOBS:
            if job.name not in self.jobs:
                continue
            for side in self.sides:
                for result in side.results[job.name]:
                    if result["status"]:
                        found.append(f"{job.name}: {side.name} ended with status {result['status']}: {result['output'][-300:]}")
                        break
            compared = [s for s in self.sides if job.same_as_native or s.architecture == GUEST]
            outputs = {s.name: {r.get("digest") for r in s.results[job.name]} for s in compared}
            if len(set.union(*outputs.values())) > 1:
                found.append(f"{job.name}: outputs differ between {', '.join(outputs)}")
        for side in self.sides:
            for name, results in side.memory.items():
                if any(r["status"] for r in results):
                    found.append(f"{name}: {side.name}: {results[-1]['output']}")
        return found

    def table(self):
        ours, native = self.sides[0], self.sides[-1]
        theirs = self.sides[1] if len(self.sides) == 3 else None
        clock, ratios = self.options.clock, []
        lines = [f"{'':<31}{'lyrebird':>12}{'qemu':>12}{'faster':>9}{'/native':>9}"]
        for job in programs.JOBS:
            if job.name not in self.jobs:
                continue
            mine, host = ours.seconds(job.name, clock), native.seconds(job.name, clock)
            other = theirs.seconds(job.name, clock) if theirs else 0
            if other and mine:
                ratios.append(other / mine)
            lines.append(f"{job.name:<31}{mine:>10.3f} s" + (f"{other:>10.3f} s{other / max(mine, 1e-9):>8.2f}x" if theirs else " " * 21)
                         + f"{mine / max(host, 1e-9):>8.1f}x")
        if len(ratios) > 1:
            lines.append(f"{'geometric mean':<55}{math.exp(sum(map(math.log, ratios)) / len(ratios)):>8.2f}x")
        for name in ours.memory:
            lines.append(f"{name:<31}{ours.pss_mib(name):>8.1f} MiB" + (f"{theirs.pss_mib(name):>8.1f} MiB" if theirs else ""))
        return "\n".join(lines)

    def as_data(self):
        return {s.name: {"runs": s.results, "memory": s.memory} for s in self.sides}


def compare(options, root, lyrebird):
    session = UserSession(options, root / "build", str(lyrebird))
    load = os.getloadavg()[0]
    session.run()
    print(f"\n{session.table()}\n(load average {load:.1f} before, {os.getloadavg()[0]:.1f} after)")
    problems = session.problems()
    for problem in problems:
        print(f"compare: {problem}", file=sys.stderr)
    if options.json:
        Path(options.json).write_text(json.dumps(session.as_data(), indent=1))
    return 1 if problems else 0

"""Runs one emulator (or the native program) once and measures it.

An emulator is a command that takes QEMU's options. It is watched through its serial port on standard output: each line is
stamped as it arrives, and init's lines (bench/kernels/guest/init.c) say what the guest is doing.
"""
import os
import re
import select
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import memory
from .monitor import Monitor

RAM_MIB = 520                 # an odd size, so that guest RAM is easy to tell from the emulator's other mappings
RESULT = re.compile(r"BENCH ([\w-]+) ([0-9.]+) ([0-9a-f]{16})")
BEGIN = re.compile(r"BENCH-BEGIN (\S+)")


@dataclass
class Result:
    seconds: float            # by the guest's clock
    checksum: str
    cpu_seconds: float = 0.0  # that the emulator's threads used meanwhile


@dataclass
class Run:
    """What one boot showed. `failure` is a sentence, or empty."""
    boot_seconds: float = 0.0
    boot_cpu_seconds: float = 0.0
    dirty_kib: int = 0
    results: dict = field(default_factory=dict)
    counters: dict = field(default_factory=dict)
    failure: str = ""


def cpu_seconds(pid):
    """Processor time of all threads so far: the process clock of clock_getcpuclockid(3), which has nanoseconds."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


@dataclass
class Software:
    """What the guest is given; the same for every emulator."""
    kernel: Path
    initramfs: Path
    firmware: str = "default"
    append: str = ""


class Emulator:
    """`name` for the report, `command` the program and options that come first, `called` the name that the program gets to see."""

    def __init__(self, name, command, software, called=None):
        self.name, self.command, self.called, self.software = name, command, called or command[0], software

    def line(self, jobs, vcpus):
        return [self.called, *self.command[1:], "-M", "virt", "-m", f"{RAM_MIB}M", "-smp", str(vcpus), "-nographic", "-no-reboot", "-bios", self.software.firmware,
                "-nic", "none", "-kernel", str(self.software.kernel), "-initrd", str(self.software.initramfs),
                "-append", f"console=ttyS0 {self.software.append} bench={','.join(jobs)}"]

    def run(self, jobs, vcpus, patience, counters=False, log=None):
        """One boot that does `jobs`; gives up when the guest says nothing for `patience` seconds."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            line = self.line(jobs, vcpus)
            socket = Path(folder) / "monitor"
            if counters:
                line += ["-monitor", f"unix:{socket},server=on,wait=off"]
            begin = time.monotonic()
            process = subprocess.Popen(line, executable=self.command[0], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            try:
                return Watch(process, begin, Monitor(socket) if counters else None, log).until_end(patience)
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
                process.stdin.close()
                process.stdout.close()


class Watch:
    """Reads the serial port of one running emulator."""

    def __init__(self, process, begin, monitor, log):
        self.process, self.begin, self.monitor, self.log = process, begin, monitor, log
        self.run, self.job, self.job_cpu, self.tail, self.ended = Run(), "boot", 0.0, [], False

    def until_end(self, patience):
        pending = b""
        out = self.process.stdout.fileno()
        while True:
            if not select.select([out], [], [], patience)[0]:
                self.run.failure = f"the guest said nothing for {patience:.0f} s in '{self.job}'"
                break
            chunk = os.read(out, 65536)
            if not chunk:
                self.finish()
                break
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self.take(line.decode(errors="replace").strip())
        if self.run.failure:
            self.run.failure += "; its last lines:\n    " + "\n    ".join(self.tail)
        return self.run

    def finish(self):
        status = self.process.wait()
        if status or not self.ended:
            self.run.failure = self.run.failure or f"the emulator ended with status {status} in '{self.job}'"

    def take(self, line):
        if self.log:
            print(line, file=self.log, flush=True)
        self.tail = self.tail[-11:] + [line]
        pid = self.process.pid
        if "BENCH-READY" in line and not self.run.boot_seconds:
            self.run.boot_seconds = time.monotonic() - self.begin
            self.run.boot_cpu_seconds = cpu_seconds(pid)
        elif match := BEGIN.search(line):
            self.begin_job(match[1], pid)
        elif match := RESULT.search(line):
            self.run.results[match[1]] = Result(float(match[2]), match[3], cpu_seconds(pid) - self.job_cpu)
        elif "BENCH-FAILED" in line:
            self.run.failure = line
        elif "BENCH-END" in line:
            self.ended = True

    def begin_job(self, job, pid):
        if job.startswith("wait:"):
            self.run.dirty_kib = memory.private_dirty_outside_ram(pid, RAM_MIB << 10)
        if self.monitor:
            self.run.counters[job] = self.monitor.ask("info jit")
        self.job, self.job_cpu = job, cpu_seconds(pid)


def run_native(program, arguments):
    """The same kernel on this host; None if it failed. cpu_seconds has the program's start and set-up in it."""
    before = os.times()
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    after = os.times()
    match = RESULT.search(done.stdout)
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Result(float(match[2]), match[3], used) if match else None

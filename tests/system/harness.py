"""Boots real kernels in the emulator over pipes, with a deadline on every step.

A test is a function with @system_test. It raises Failure (or any exception) to fail, Skip to be skipped with a reason. Guest is one
running emulator; leaving its `with` block ends the process. The emulator is build/bin/lyrebird-system-riscv64 unless $LYREBIRD names one.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCH = "riscv64"
FILES = ROOT / "build" / "guest" / ARCH
EMULATOR = os.environ.get("LYREBIRD") or str(ROOT / "build" / "bin" / f"lyrebird-system-{ARCH}")
# On a slow or busy machine every deadline is longer by this factor.
PATIENCE = float(os.environ.get("LYRE_PATIENCE_FACTOR", "1"))
BOOTED = r"lyrebird: user space reached after [\d.]+ s, (\d+) CPUs"
# The rest of an echoed command may be wrapped by the guest's line editor, so markers are numbers that the guest's shell computes.
TESTS = []


class Failure(Exception):
    pass


class Skip(Exception):
    pass


class Test:
    def __init__(self, function, label):
        self.function, self.label = function, label
        self.name = function.__module__ + "." + function.__name__


def system_test(function=None, label=""):
    """label "long": only run when asked for."""
    if function is None:
        return lambda f: system_test(f, label)
    TESTS.append(Test(function, label))
    return function


def check(condition, sentence):
    if not condition:
        raise Failure(sentence)


def is_lyrebird():
    try:
        return "yrebird" in subprocess.run([EMULATOR, "-version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False


def only_lyrebird():
    if not is_lyrebird():
        raise Skip("it is about Lyrebird's own behaviour")


def kernel():
    found = sorted((FILES / "boot").glob("vmlinu[xz]-*"))
    if not found:
        raise Failure("there is no guest kernel: run machine/boot riscv64 --prepare")
    return str(found[-1])


def firmware():
    return str(FILES / "firmware" / "fw_dynamic.bin")


@contextlib.contextmanager
def scratch():
    path = tempfile.mkdtemp(prefix="lyre-system-")
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Guest:
    """One emulator process. Output is collected all the time; expect() looks at what came after the last match."""

    def __init__(self, *options, linux=True, append="", smp=1, memory="512M", nographic=True):
        self.command = [EMULATOR, "-M", "virt", "-bios", firmware(), "-m", memory, "-smp", str(smp)]
        if nographic:
            self.command.append("-nographic")
        if linux:
            self.command += ["-kernel", kernel(), "-initrd", str(FILES / "initramfs.cpio"), "-append", ("console=ttyS0 " + append).strip()]
        self.command += [str(o) for o in options]
        self.output = ""
        self.seen = 0
        self.marker = 1000
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        start_new_session=True)
        os.set_blocking(self.process.stdout.fileno(), False)
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._read(0)
        self.process.stdin.close()
        self.process.stdout.close()
        if error is not None and not isinstance(error, (Skip, KeyboardInterrupt)):
            error.guest_output = self.output[-6000:]
            error.guest_command = " ".join(self.command)
        return False

    def _read(self, seconds):
        """Takes what there is, waiting at most so long for something. False: the emulator closed its output."""
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return True
        data = self.process.stdout.read()
        if data == b"":
            return False
        if data:
            self.output += data.decode("utf-8", "replace").replace("\r", "")
        return True

    def expect(self, pattern, seconds=60):
        """Waits for the pattern in output that came after the last match; returns the match."""
        deadline = time.monotonic() + seconds * PATIENCE
        expression = re.compile(pattern)
        while True:
            match = expression.search(self.output, self.seen)
            if match:
                self.seen = match.end()
                return match
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"'{pattern}' did not come within {seconds * PATIENCE:.0f} s")
            if not self._read(min(left, 1)):
                match = expression.search(self.output, self.seen)
                if match:
                    continue
                raise Failure(f"the emulator ended (status {self.process.wait()}) before '{pattern}' came")

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def boot(self, seconds=240):
        return int(self.expect(BOOTED, seconds).group(1))

    def run(self, command, seconds=60, good=True):
        """Runs a shell command in the guest and returns its output without the last newline."""
        self.marker += 1
        self.send(f"echo begin-$(({self.marker}+0)); {command}; echo end-$?-$(({self.marker}+0))\n")
        match = self.expect(rf"(?s)begin-{self.marker}\n(.*?)end-(\d+)-{self.marker}\n", seconds)
        text, status = match.group(1).rstrip("\n"), int(match.group(2))
        check(not good or status == 0, f"in the guest '{command}' ended with status {status}: {text}")
        return text

    def wait(self, seconds=60):
        """Waits for the emulator's end; returns the exit status."""
        deadline = time.monotonic() + seconds * PATIENCE
        while self._read(0.2):
            if self.process.poll() is not None:
                self._read(0)
                break
            check(time.monotonic() < deadline, f"the emulator did not end within {seconds * PATIENCE:.0f} s")
        try:
            return self.process.wait(timeout=max(1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failure(f"the emulator closed its output but did not end within {seconds * PATIENCE:.0f} s") from None

    def poweroff(self, seconds=60):
        self.send("poweroff\n")
        status = self.wait(seconds)
        check(status == 0, f"the guest powered off, but the emulator ended with status {status}")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def emulator_output(*options, seconds=20):
    """Runs the emulator to its end: exit status, standard output, standard error."""
    try:
        done = subprocess.run([EMULATOR, *map(str, options)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failure(f"the emulator did not end within {seconds * PATIENCE:.0f} s: {' '.join(map(str, options))}") from None
    return done.returncode, done.stdout, done.stderr

"""What user-mode tests share: compilers, running a program under the emulator, comparing with the host's own run."""

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "build" / "tests-user"
GUEST = "riscv64"
GUEST_CC = f"{GUEST}-linux-gnu-gcc"
GUEST_SYSROOT = f"/usr/{GUEST}-linux-gnu"
PATIENCE = 60 * float(os.environ.get("LYRE_PATIENCE_FACTOR", "1"))

TESTS = []


class Failure(Exception):
    pass


class Skip(Exception):
    pass


class Test:
    def __init__(self, name, function, label=""):
        self.name, self.function, self.label = name, function, label


def user_test(function=None, *, label=""):
    def register(f):
        TESTS.append(Test(f.__name__.replace("_", "-"), f, label))
        return f

    return register(function) if function else register


def emulator():
    for path in (os.environ.get("LYREBIRD_USER"), ROOT / "build/bin" / f"lyrebird-{GUEST}", ROOT / "build/release/runtime/cli" / f"lyrebird-{GUEST}"):
        if path and Path(path).exists():
            return str(path)
    raise Failure("there is no lyrebird-user, build it first")


def compile_program(source, *, native=False, static=True, flags=(), kind=None):
    """Returns the program's path; compiled again only when the source is newer."""
    if not native and not shutil.which(GUEST_CC):
        raise Skip(f"{GUEST_CC} is not installed")
    WORK.mkdir(parents=True, exist_ok=True)
    kind = kind or ("native" if native else "static" if static else "dynamic")
    target = WORK / kind / Path(source).stem
    target.parent.mkdir(exist_ok=True)
    if target.exists() and target.stat().st_mtime > Path(source).stat().st_mtime:
        return str(target)
    line = ["gcc" if native else GUEST_CC, "-O1", "-w", "-pthread", "-fasynchronous-unwind-tables", *(["-static"] if static and not native else []), *flags, "-o", str(target), str(source)]
    made = subprocess.run(line, capture_output=True, text=True)
    if made.returncode:
        raise Failure(f"{' '.join(line)}: {made.stderr}")
    return str(target)


def run(line, patience=PATIENCE, **options):
    """Runs to its end; a program that does not come to it fails. stdin is empty."""
    process = subprocess.Popen([str(word) for word in line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True, **options)
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, err = process.communicate()
        raise Failure(f"{' '.join(map(str, line))}: not finished after {patience:.0f} s; it printed:\n{out}{err}") from None
    return subprocess.CompletedProcess(line, process.returncode, out, err)


def same(guest, native, what):
    if (guest.stdout, guest.returncode) == (native.stdout, native.returncode):
        return
    ours, theirs = guest.stdout.splitlines(), native.stdout.splitlines()
    text = [f"{what}: exit status {guest.returncode}, natively {native.returncode}"]
    for k in range(max(len(ours), len(theirs))):
        left, right = (lines[k] if k < len(lines) else "(nothing)" for lines in (ours, theirs))
        if left != right:
            text += [f"  line {k + 1}: {left}", f"  natively: {right}"]
    raise Failure("\n".join(text + ([guest.stderr] if guest.stderr else [])))


def expect(condition, text):
    if not condition:
        raise Failure(text)

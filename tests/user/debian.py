"""Debian's riscv64 programs (trixie) as a user runs them: `-L`, a chroot through binfmt, and a copy of the emulator in a chroot. They take long and need
Debian's registry: label 'long'. Sources and expected outputs are in debian/."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

import harness
from harness import HERE, Skip, emulator, expect, run

SUITE = "trixie"
COMMON = "base-files,base-passwd,bash,coreutils,dash,diffutils,findutils,grep,gzip,hostname,mawk,netbase,sed,tar,util-linux,ca-certificates"
PATIENCE = 20  # times the usual one
JAVA = "/usr/lib/jvm/java-21-openjdk-riscv64/bin"


def registry():
    """Debian's, where this machine's apt has it."""
    if not shutil.which("mmdebstrap") or not shutil.which("apt-get"):
        raise Skip("mmdebstrap is not installed")
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], capture_output=True, text=True).stdout.split()
    plain = sorted({uri for uri in listed if re.search(r"/debian/*$", uri)})
    return plain[0] if plain else "http://deb.debian.org/debian/"


def mmdebstrap(*words):
    return ["mmdebstrap", "--aptopt=Acquire::Check-Valid-Until \"false\"", "--aptopt=Acquire::Retries \"3\"", "--architectures=riscv64", *words]


def tree(name, packages):
    """The packages and what they need, unpacked and not configured; made once."""
    folder = harness.WORK / "debian" / name
    if folder.exists():
        return folder
    if os.geteuid() != 0:
        raise Skip("unpacking Debian's packages needs root")
    part = folder.with_name(name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(3):
        shutil.rmtree(part, ignore_errors=True)
        made = subprocess.run(mmdebstrap("--quiet", "--variant=extract", f"--include={COMMON},{packages}", SUITE, str(part), registry()), capture_output=True, text=True)
        if made.returncode == 0:
            break
    else:
        raise Skip(f"Debian's registry did not give its packages: {made.stderr.strip()[-300:]}")
    for name in ("passwd", "group"):
        shutil.copy(part / f"usr/share/base-passwd/{name}.master", part / "etc" / name)
    (part / "etc/hosts").write_text("127.0.0.1 localhost\n")
    part.rename(folder)
    return folder


def run_long(line, **options):
    return run(line, patience=PATIENCE * harness.PATIENCE, **options)


def under(folder, *line, **options):
    """With the tree under -L. The host's own cross compilers, of the same names, would show through it: those cases use inside()."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", **options.pop("env", {})}
    return run_long([emulator(), "-L", folder, *line], env=environment, **options)


def inside(folder, *line, emulator_path=None):
    """In the tree as root, through the kernel's binfmt_misc."""
    if os.geteuid() != 0:
        raise Skip("a namespace with all users needs root")
    program = os.path.realpath(emulator()) if emulator_path is None else emulator_path
    expect(program == "" or os.path.exists(os.path.join(os.path.dirname(program), "lyrebird")), "lyrebird itself is not built")
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    got = run_long([sys.executable, HERE / "inside.py", program, folder, *line], env=environment)
    if got.returncode == 99:
        raise Skip(f"no binfmt_misc in a user namespace here (Linux 6.7): {got.stderr.strip()}")
    return got


def as_expected(got, name):
    expected = (HERE / "debian" / f"{name}.expected").read_text()
    expect(got.returncode == 0 and got.stdout == expected,
           f"exit status {got.returncode}, it printed:\n{got.stdout[-3000:]}{got.stderr[-3000:]}\nand not:\n{expected[-3000:]}")


def long_test(function):
    return harness.user_test(label="long")(function)


@long_test
def node():
    folder = tree("node", "nodejs")
    for _ in range(3):
        as_expected(under(folder, "/usr/bin/node", HERE / "debian/node.js"), "node.js")


@long_test
def java():
    folder = tree("java", "openjdk-21-jdk-headless")
    got = under(folder, f"{JAVA}/java", "-version")
    expect(got.returncode == 0 and "mixed mode" in got.stderr, got.stderr)
    with tempfile.TemporaryDirectory() as work:
        got = under(folder, f"{JAVA}/javac", "-d", work, HERE / "debian/Program.java")
        expect(got.returncode == 0 and not got.stdout, got.stdout + got.stderr)
        for collector in ("Serial", "Parallel", "G1", "Z"):
            as_expected(under(folder, f"{JAVA}/java", "-Xmx256m", f"-XX:+Use{collector}GC", "-cp", work, "Program"), "Program.java")


@long_test
def go():
    folder = tree("go", "golang-go,hugo")
    with tempfile.TemporaryDirectory() as work:
        environment = {"HOME": work, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
        got = under(folder, "/usr/bin/go", "build", "-o", f"{work}/program", HERE / "debian/program.go", env=environment, cwd=work)
        expect(got.returncode == 0, got.stdout + got.stderr)
        as_expected(under(folder, f"{work}/program"), "program.go")
        got = under(folder, "/usr/bin/hugo", "new", "site", f"{work}/site", env=environment)
        expect(got.returncode == 0, got.stdout + got.stderr)
        os.makedirs(f"{work}/site/layouts/_default")
        with open(f"{work}/site/layouts/_default/single.html", "w") as file:
            file.write("<html>{{.Content}}</html>")
        for k in range(100):
            with open(f"{work}/site/content/p{k}.md", "w") as file:
                file.write(f"---\ntitle: p{k}\n---\n# page {k}\n")
        got = under(folder, "/usr/bin/hugo", "--source", f"{work}/site", env=environment)
        expect(got.returncode == 0, got.stdout + got.stderr)
        with open(f"{work}/site/public/p7/index.html") as file:
            expect("page 7</h1>" in file.read(), "the page is not there")


COMPILE = "set -e; cd $(mktemp -d); g++ -O2 -g -o program /program.cpp; ./program; g++ -O0 -flto -static -o program /program.cpp; ./program; uname -m"


@long_test
def compilers_through_binfmt():
    folder = tree("gcc", "gcc,g++")
    shutil.copy(HERE / "debian/program.cpp", folder / "program.cpp")
    as_expected(inside(folder, "sh", "-c", COMPILE), "program.cpp")


@long_test
def compilers_without_registration():
    folder = tree("gcc", "gcc,g++")
    if os.geteuid() != 0:
        raise Skip("chroot needs root")
    shutil.copy(HERE / "debian/program.cpp", folder / "program.cpp")
    shutil.copy(os.path.realpath(emulator()), folder / "emulator")
    as_expected(run_long(["chroot", folder, "/emulator", "/bin/sh", "-c", COMPILE], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}), "program.cpp")


@long_test
def everyday_tools():
    folder = tree("tools", "git,sqlite3,openssl,curl,perl,python3,make,xz-utils")
    with tempfile.TemporaryDirectory() as work:
        as_expected(under(folder, "/bin/sh", HERE / "debian/tools.sh", cwd=work), "tools.sh")


# Python's own regression tests, by file, with those that fail for a reason that is not the emulator's.
PYTHON_TESTS = {
    "test_asyncio": [], "test_concurrent_futures": [], "test_ctypes": [], "test_epoll": [], "test_fcntl": [], "test_fork1": [], "test_gc": [], "test_io": [],
    "test_mmap": [], "test_multiprocessing_fork": [], "test_multiprocessing_spawn": [], "test_poll": [], "test_pty": [], "test_resource": [], "test_select": [],
    "test_selectors": [], "test_shutil": [], "test_signal": [], "test_sqlite3": [], "test_ssl": [], "test_subprocess": [], "test_sys": [], "test_thread": [],
    "test_threading": [], "test_threadsignals": [], "test_time": [], "test_wait4": [],
    "test_faulthandler": ["test_enable_fd", "test_enable_file"],  # our note about an uncaught signal is in what they compare
    "test_os": ["test_timerfd_*"],                                # asks for times to the millisecond
    "test_posix": ["test_fexecve"],                               # a program by a descriptor that closes on exec
    "test_socket": ["*VSOCK*"],                                   # the host may have no vsock
}


def python_test(name, ignored):
    folder = tree("python", "python3,libpython3.13-testsuite")
    words = [word for pattern in ignored for word in ("-i", pattern)]
    got = inside(folder, "/usr/bin/python3", "-u", "-m", "test", "--timeout", "600", *words, name)
    expect(got.returncode in (0, 3), got.stdout[-4000:] + got.stderr[-2000:])  # 3: a test left something behind
    expect("Result: SUCCESS" in got.stdout or "env changed" in got.stdout, got.stdout[-2000:])


for _name, _ignored in PYTHON_TESTS.items():
    harness.TESTS.append(harness.Test("python-" + _name.removeprefix("test_").replace("_", "-"), lambda name=_name, ignored=_ignored: python_test(name, ignored), "long"))


# stress-ng's stressors that check their own results, with operations for two instances; some pause until the time is over instead.
STRESS = {
    "cpu": {"cpu": 200, "matrix": 200, "fp": 20, "funccall": 200, "qsort": 5, "longjmp": 20000, "context": 20000, "vecmath": 50},
    "vm": {"vm": 2000, "mmap": 20, "mremap": 20, "mprotect": 2000, "malloc": 20000, "brk": 20000, "stack": 200, "fault": 2000, "shm": 20, "shm-sysv": 20, "memfd": 10, "madvise": 20},
    "signal": {"signal": 100000, "sigsegv": 50000, "sigbus": 50000, "sigfd": 50000, "sigq": 50000, "sigrt": 20000, "sigsuspend": 20000, "sigill": 50000, "sigtrap": 50000,
               "sigabrt": 200, "sigchld": 500, "sigpipe": 20000, "kill": 20000, "timer": 2000, "itimer": 2000},
    "thread": {"pthread": 1000, "clone": 100, "mutex": 50000, "sem": 50000, "switch": 50000},
    "futex": {"futex": 20000, "prio-inv": 20},
    "pipe": {"pipe": 50000, "fifo": 20000, "sockpair": 5000, "poll": 20000, "epoll": 2000, "eventfd": 50000},
    "fork": {"fork": 500, "vfork": 1000, "wait": 500, "zombie": 500, "daemon": 100, "mmapfork": 5},
}


def stress(kind):
    folder = tree("stress", "stress-ng")
    with tempfile.TemporaryDirectory() as work:
        for name, operations in STRESS[kind].items():
            got = under(folder, "/usr/bin/stress-ng", f"--{name}", "2", f"--{name}-ops", str(operations), "--verify", "--timeout", "15", cwd=work)
            text = got.stdout + got.stderr
            expect(got.returncode == 0 and re.search(r"failed: 0\b", text) and re.search(rf"passed: 2: {name} \(2\)", text) and "fail:" not in text, f"{name}: {text[-3000:]}")


for _kind in STRESS:
    harness.TESTS.append(harness.Test(f"stress-{_kind}", lambda kind=_kind: stress(kind), "long"))


@long_test
def a_whole_bootstrap():
    """mmdebstrap through binfmt: dpkg configures what it unpacked; then apt-get in the new system."""
    for name in ("mmdebstrap", "arch-test"):
        if not shutil.which(name):
            raise Skip(f"{name} is not installed")
    source = registry()
    with tempfile.TemporaryDirectory() as work:
        target = f"{work}/system"
        began = os.times()
        got = inside("/", *mmdebstrap("--mode=root", "--skip=cleanup/apt", "--variant=minbase", SUITE, target, source))
        used = os.times()
        if "executed natively" not in got.stderr and "transparently" not in got.stderr and got.returncode:
            raise Skip(f"mmdebstrap could not begin: {got.stderr.strip()[-300:]}")
        expect(got.returncode == 0, got.stderr[-3000:])
        print(f"    bootstrap: {used.children_user - began.children_user + used.children_system - began.children_system:.1f} s of processor time", flush=True)
        with open(f"{target}/var/lib/dpkg/status") as file:
            states = re.findall(r"^Status: (.*)$", file.read(), re.M)
        expect(len(states) > 60 and set(states) == {"install ok installed"}, str(set(states)))
        shutil.copy("/etc/resolv.conf", f"{target}/etc/resolv.conf")
        got = inside(target, "sh", "-c", "apt-get -o Acquire::Check-Valid-Until=false -q update && apt-get install -qy --no-install-recommends hello python3 >&2 && dpkg --audit && hello")
        expect(got.returncode == 0 and got.stdout.endswith("Hello, world!\n"), got.stdout[-2000:] + got.stderr[-3000:])

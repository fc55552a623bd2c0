"""Programs compared with the host's own run, and what is about the emulator itself."""

import os
import re
import shutil
import subprocess
import tempfile

import harness
from harness import HERE, compile_program, emulator, expect, run, same, user_test

WAYS = {"static": (True, []), "dynamic": (False, ["-L", harness.GUEST_SYSROOT]), "interp": (True, ["-accel", "interp"])}


def compare(source, way):
    static, options = WAYS[way]
    guest = compile_program(source, static=static)
    same(run([emulator(), *options, guest]), run([compile_program(source, native=True)]), f"{source.stem} ({way})")


def add(source, way):
    harness.TESTS.append(harness.Test(f"{source.stem}-{way}", lambda: compare(source, way)))


for _source in sorted((HERE / "programs").glob("*.c")):
    for _way in WAYS:
        add(_source, _way)


def shell_program(text):
    """A guest program made from C text."""
    harness.WORK.mkdir(parents=True, exist_ok=True)
    name = harness.WORK / f"text-{abs(hash(text)) :x}.c"
    name.write_text(text)
    return compile_program(name)


ARGUMENTS = r"""
#include <stdio.h>
extern char **environ;
int main(int argc, char **argv) {
  for (int k = 0; k < argc; k++) printf("[%s]", argv[k]);
  for (char **e = environ; *e; e++) printf("{%s}", *e);
  return argc;
}
"""


CHAIN = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
  int left = atoi(argv[1]);
  char text[12];
  printf("%d\n", left);
  fflush(stdout);
  if (!left) return 7;
  snprintf(text, sizeof text, "%d", left - 1);
  execl("/chain", "chain", text, (char *)0);
  return 1;
}
"""


@user_test
def arguments_and_environment():
    program = shell_program(ARGUMENTS)
    clean = {"PATH": os.environ["PATH"], "A": "1", "B": "2"}
    got = run([emulator(), "-0", "zero", "-E", "C=3,B=4", "-U", "A", program, "x y", ""], env=clean)
    expect(got.stdout == f"[zero][x y][]{{PATH={clean['PATH']}}}{{C=3}}{{B=4}}", got.stdout + got.stderr)
    expect(got.returncode == 3, f"exit status {got.returncode}")


@user_test
def options_from_the_environment():
    program = shell_program("#include <stdio.h>\n#include <sys/utsname.h>\nint main() { struct utsname u; uname(&u); printf(\"%s %s\", u.release, u.machine); }")
    for name in ("LYREBIRD_UNAME", "QEMU_UNAME"):
        got = run([emulator(), program], env={name: "6.1.2-test"})
        expect(got.stdout == "6.1.2-test riscv64", got.stdout + got.stderr)


@user_test
def errors_are_one_sentence():
    for line in ([], ["-nosuch"], ["-cpu", "nosuch", compile_program(HERE / "programs/files.c")], ["/no/such/program"], ["/bin/sh"], ["/etc/passwd"], ["-s"]):
        got = run([emulator(), *line])
        expect(got.returncode == 1, f"{line}: exit status {got.returncode}")
        expect(re.fullmatch(r"lyrebird-riscv64: [^\n]+\n", got.stderr), f"{line}: {got.stderr!r}")


@user_test
def help_lists_every_option():
    got = run([emulator(), "-h"])
    for name in "h version L s cpu E U 0 r strace d D dfilter seed tb-size one-insn-per-tb".split():
        expect(re.search(rf"^-{name}\b", got.stdout, re.M), f"-{name} is not listed")


@user_test
def strace_prints_calls():
    got = run([emulator(), "-strace", compile_program(HERE / "programs/files.c")])
    expect(re.search(r'^\d+ openat\(AT_FDCWD,"a",O_RDWR\|O_CREAT\|O_EXCL,0640\) = \d+$', got.stderr, re.M), got.stderr[:2000])
    expect(re.search(r"errno=17 \(File exists\)", got.stderr), "a failure has no text")
    expect(re.search(r"^\d+ exit_group\(0\)", got.stderr, re.M), "the end is missing")


@user_test
def the_same_with_one_instruction_at_a_time():
    source = HERE / "programs/memory.c"
    same(run([emulator(), "-one-insn-per-tb", compile_program(source)]), run([compile_program(source, native=True)]), "memory")


@user_test
def works_alone_in_an_empty_root():
    if os.geteuid() != 0:
        raise harness.Skip("chroot needs root")
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        shutil.copy(os.path.realpath(emulator()), f"{root}/any-name")
        shutil.copy(compile_program(HERE / "programs/threads.c"), f"{root}/program")
        got = subprocess.run(["/any-name", "/program"], capture_output=True, text=True, timeout=harness.PATIENCE, preexec_fn=lambda: os.chroot(root), cwd="/")
        expect(got.returncode == 0 and "woken" in got.stdout, got.stdout + got.stderr)
        # Programs that execute programs, three deep: there is no /proc to find the emulator by.
        shutil.copy(shell_program(CHAIN), f"{root}/chain")
        got = subprocess.run(["/any-name", "/chain", "3"], capture_output=True, text=True, timeout=harness.PATIENCE, preexec_fn=lambda: os.chroot(root), cwd="/")
        expect(got.returncode == 7 and got.stdout == "3\n2\n1\n0\n", got.stdout + got.stderr)


@user_test
def the_file_needs_nothing_loaded():
    program = os.path.realpath(emulator())
    headers = run(["readelf", "-lW", program]).stdout
    expect("INTERP" not in headers and "DYN " in headers, "lyrebird-user is no static position-independent executable")
    names = run(["readelf", "-Ws", program]).stdout
    expect(" cs_open" not in names, "Capstone is linked")
    # Each is work at every start. It is to become 2,000; until then it must not grow.
    count = run(["readelf", "-rW", program]).stdout.count("R_X86_64_")
    expect(count < 3000, f"{count} relocations")


@user_test
def uncaught_signals_are_said():
    program = shell_program("int main() { *(volatile int *)0 = 1; }")
    got = run([emulator(), program])
    expect(got.returncode == -11, f"exit status {got.returncode}")
    expect("uncaught target signal 11 (Segmentation fault) - core dumped" in got.stderr, got.stderr)

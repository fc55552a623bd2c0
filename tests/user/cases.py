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


def shell_program(text, flags=()):
    """A guest program made from C text."""
    harness.WORK.mkdir(parents=True, exist_ok=True)
    name = harness.WORK / f"text-{abs(hash(text)) :x}.c"
    name.write_text(text)
    return compile_program(name, flags=flags)


@user_test
def code_memory_filled_many_times():
    source = HERE / "programs/much_code.c"
    native = run([compile_program(source, native=True)])
    for accel in ("tcg", "interp"):
        same(run([emulator(), "-accel", accel, "-tb-size", "1", compile_program(source)]), native, f"much_code ({accel})")


LARGE_PAGES = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>
static sigjmp_buf back;
static void on_fault(int number) { siglongjmp(back, number); }
static int touch(volatile char *at) {
  int number = sigsetjmp(back, 1);
  if (!number) (void)*at;
  return number;
}
int main() {
  long page = sysconf(_SC_PAGESIZE);
  signal(SIGSEGV, on_fault), signal(SIGBUS, on_fault);
  printf("%ld %ld\n", page, getauxval(AT_PAGESZ));
  char *p = mmap(0, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("aligned %d\n", !((unsigned long)p & (page - 1)));
  int odd = mprotect(p + 4096, 4096, PROT_NONE);
  printf("odd %d %d\n", odd, errno == EINVAL);
  munmap(p + page, 1);
  printf("%d %d %d %d\n", touch(p + page - 1), touch(p + page), touch(p + 2 * page - 1), touch(p + 2 * page));
  char *again = mmap(p + page, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf("%d %d\n", again == p + page, touch(p + 2 * page - 1));
  char *grown = mremap(p, page, page + 1, MREMAP_MAYMOVE);
  printf("grown %d %d\n", touch(grown + 2 * page - 1), !((unsigned long)grown & (page - 1)));
  char *end = sbrk(0);
  sbrk(1);
  printf("heap %d\n", touch(end));
  int fd = memfd_create("f", 0);
  ftruncate(fd, 100);
  char *file = mmap(0, 2 * page, PROT_READ, MAP_PRIVATE, fd, 0);
  printf("file %d %d %d\n", touch(file + 99), touch(file + page - 1), touch(file + page));
  printf("offset %d\n", mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 4096) == MAP_FAILED ? errno == EINVAL : 0);
  unsigned *code = mmap(0, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int k = 0; k < 4; k++) {
    unsigned *at = code + 3 * 1024;
    at[0] = k << 20 | 10 << 7 | 0x13, at[1] = 0x8067;
    __builtin___clear_cache((char *)at, (char *)(at + 2));
    printf("%d", ((int (*)(void))at)());
  }
  printf("\n");
}
"""


@user_test
def pages_of_sixteen_kibibytes():
    program = shell_program(LARGE_PAGES, flags=["-Wl,-z,max-page-size=65536"])
    for accel in ("tcg", "interp"):
        for page in (16384, 65536):
            got = run([emulator(), "-accel", accel, "-page-size", str(page), program])
            expect(got.stdout == f"{page} {page}\naligned 1\nodd -1 1\n0 11 11 0\n1 0\ngrown 0 1\nheap 0\nfile 0 0 7\noffset 1\n0123\n" and got.returncode == 0,
                   f"{page}: {got.stdout}{got.stderr} exit status {got.returncode}")
    for source in ("threads.c", "signals.c", "processes.c", "shared_memory.c", "code.c"):
        source = HERE / "programs" / source
        guest = compile_program(source, flags=["-Wl,-z,max-page-size=65536"], kind="large-pages")
        same(run([emulator(), "-page-size", "16384", guest]), run([compile_program(source, native=True)]), f"{source.stem} with pages of 16 KiB")
    got = run([emulator(), "-page-size", "5000", program])
    expect(got.returncode == 1 and "'5000' is no size of a page" in got.stderr, got.stderr)


@user_test(label="long")
def ten_thousand_children_beside_eight_translating_threads():
    source = HERE / "programs/much_code.c"
    got = run([emulator(), "-tb-size", "32", compile_program(source), "10000"], patience=1800)
    expect(got.returncode == 0 and got.stdout.endswith("8 threads, 0 children went wrong\n"), f"exit status {got.returncode}: {got.stdout}{got.stderr}")


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
    for name in "h version L s cpu g R B t E U 0 r strace d D dfilter seed tb-size one-insn-per-tb".split():
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
    # The aim is 2,000; It may shrink, not grow.
    expect(count < 3100, f"{count} relocations")


@user_test
def uncaught_signals_are_said():
    program = shell_program("int main() { *(volatile int *)0 = 1; }")
    got = run([emulator(), program])
    expect(got.returncode == -11, f"exit status {got.returncode}")
    expect("uncaught target signal 11 (Segmentation fault) - core dumped" in got.stderr, got.stderr)


def system_program():
    path = os.path.join(os.path.dirname(emulator()), "lyrebird")
    if not os.path.exists(path):
        raise harness.Skip("lyrebird itself is not built")
    return path


def own_namespace(script, *arguments):
    """A shell script in a user namespace with an empty binfmt_misc of its own; what it says."""
    line = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 99\n" + script, "sh"]
    got = run([*line, *arguments])
    if got.returncode == 99 or "unshare" in got.stderr:
        raise harness.Skip(f"no binfmt_misc in a user namespace here (Linux 6.7): {got.stderr.strip()}")
    return got


def binfmt(*words):
    return run([system_program(), "binfmt", *words])


@user_test
def binfmt_runs_programs_by_the_kernel():
    program = shell_program(ARGUMENTS)
    interpreter = os.path.realpath(emulator())
    got = own_namespace(
        'emulator=$1 program=$2 interpreter=$3\n"$emulator" binfmt register --interpreter "$interpreter" riscv64 || exit 1\n"$emulator" binfmt status riscv64\n'
        'env -i C=3 "$program" -L "x y" ""; echo " $?"\n'
        'env -i bash -c \'exec -a "-zero" "$1" one\' - "$program"; echo " $?"\n'
        '"$emulator" binfmt unregister riscv64\n"$emulator" binfmt status\n"$program" 2>/dev/null; echo $?\n', system_program(), program, interpreter)
    lines = got.stdout.splitlines()
    expect(lines[0] == f"riscv64: registered as qemu-riscv64, run by {interpreter}", got.stdout + got.stderr)
    expect(re.fullmatch(f"riscv64: qemu-riscv64, enabled, run by {re.escape(interpreter)}, flags [POF]{{3}}", lines[1]), lines[1])
    expect(lines[2] == f"[{program}][-L][x y][]{{C=3}} 4", lines[2])
    expect(re.fullmatch(r"\[-zero\]\[one\](\{\w+=.*\})* 2", lines[3]), lines[3])
    expect(lines[4:] == ["riscv64: qemu-riscv64 is removed", "riscv64: not registered", "126"], "\n".join(lines[4:]))


@user_test
def binfmt_leaves_others_entries_alone():
    interpreter = os.path.realpath(emulator())
    got = own_namespace(
        'echo ":qemu-riscv64:M::nothing::/bin/true:" >/proc/sys/fs/binfmt_misc/register\n'
        '"$1" binfmt register --setuid --interpreter "$2" && "$1" binfmt register --interpreter "$2" && "$1" binfmt status && "$1" binfmt unregister && "$1" binfmt status',
        system_program(), interpreter)
    expect(got.returncode == 0, got.stdout + got.stderr)
    lines = got.stdout.splitlines()
    expect(lines[0] == f"riscv64: registered as lyrebird-riscv64, run by {interpreter}" and lines[2] == lines[0], got.stdout)
    expect(lines[1].startswith("riscv64: setuid and setgid programs run with the rights of their owner"), lines[1])
    expect(lines[3] == "riscv64: qemu-riscv64, enabled, run by /bin/true, flags " and lines[4].startswith("riscv64: lyrebird-riscv64, enabled"), got.stdout)
    expect(lines[5:] == ["riscv64: lyrebird-riscv64 is removed", lines[3]], got.stdout)


@user_test
def binfmt_refuses_in_one_sentence():
    with tempfile.TemporaryDirectory() as folder:
        inside = f"--directory={folder}"
        for words, text in (([], "register, unregister or status"), (["register", "riscv65"], "no user mode for 'riscv65'"), (["status", "--directory=/none"], "no binfmt_misc"),
                            (["status", inside], "is not mounted"), (["regster"], "there is no 'regster'")):
            got = binfmt(*words)
            expect(got.returncode == 1 and re.fullmatch(r"lyrebird: binfmt: [^\n]+\n", got.stderr) and text in got.stderr, f"{words}: {got.stderr!r}")
        register = os.path.join(folder, "register")
        open(register, "w").close()
        got = binfmt("register", inside, "--interpreter=/no/such")
        expect(got.returncode == 1 and "/no/such: No such file" in got.stderr, got.stderr)
        got = binfmt("register", inside, "--setuid", f"--interpreter={emulator()}", "riscv64")
        expect(got.returncode == 0, got.stderr)
        with open(register) as file:
            fields = file.read().split(":")
        expect(fields[1:4] == ["qemu-riscv64", "M", "0"] and len(fields) == 8 and set(fields[7]) == set("FPOC"), str(fields))
        magic, mask = (bytes.fromhex(f.replace("\\x", "")) for f in fields[4:6])
        with open(compile_program(HERE / "programs/files.c"), "rb") as file:
            head = file.read(20)
        with open("/bin/true", "rb") as file:
            other = file.read(20)
        matches = [bytes(a & b for a, b in zip(h, mask)) == bytes(a & b for a, b in zip(magic, mask)) for h in (head, other)]
        expect(matches == [True, False], f"magic {magic.hex()} mask {mask.hex()}")
        if os.geteuid() == 0:
            # Without rights.
            got = run(["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", system_program(), "binfmt", "register", inside, f"--interpreter={emulator()}"])
            expect(got.returncode == 1 and re.fullmatch(r"lyrebird: binfmt: [^\n]+\n", got.stderr), got.stderr)


SPACE = r"""
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
int main(int argc, char **argv) {
  uintptr_t end = strtoul(argv[1], 0, 0);
  int local;
  char *heap = malloc(100), *more = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("%d %d %d %d\n", (uintptr_t)&local < end, (uintptr_t)heap < end, (uintptr_t)more < end, (uintptr_t)main < end);
  void *above = mmap((void *)end, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf("%s", above == MAP_FAILED ? strerror(errno) : "mapped");
  above = mmap((void *)(end - 4096), 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf(", %s", above == MAP_FAILED ? strerror(errno) : "mapped");
  above = mmap(0, end, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  printf(", %s", above == MAP_FAILED ? strerror(errno) : "mapped");
  int failed = munmap((void *)end, 4096);
  printf(", %s\n", failed ? strerror(errno) : "unmapped");
}
"""


@user_test
def the_address_space_ends_where_it_is_told():
    for static in (True, False):
        source = harness.WORK / "space.c"
        harness.WORK.mkdir(parents=True, exist_ok=True)
        if not source.exists() or source.read_text() != SPACE:
            source.write_text(SPACE)
        program = compile_program(source, static=static)
        for size in ("0x8000000", "1G", "0x4000000000"):
            end = 1 << 30 if size == "1G" else int(size, 0)
            got = run([emulator(), "-L", harness.GUEST_SYSROOT, "-R", size, program, hex(end)])
            expect(got.stdout == "1 1 1 1\nCannot allocate memory, Cannot allocate memory, Cannot allocate memory, Invalid argument\n", f"{size}: {got.stdout}{got.stderr}")
    for line, text in ((["-R", "1M"], "is less than 64M"), (["-B", "0x1000"], "there is no other offset than 0"), (["-t", "10 40 1"], "is not 'TSIG HSIG N"), (["-t", "40 50 2,41 60 1"], "twice")):
        got = run([emulator(), *line, program])
        expect(got.returncode == 1 and text in got.stderr and re.fullmatch(r"lyrebird-riscv64: [^\n]+\n", got.stderr), got.stderr)
    expect(run([emulator(), "-B", "0", "-L", harness.GUEST_SYSROOT, program, "0x1000"]).returncode == 0, "-B 0")


SIGNALS = r"""
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
volatile int seen, code;
void handler(int number, siginfo_t *info, void *context) { seen = number, code = info->si_signo; }
int main() {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  for (int k = 34; k <= 64; k++) sigaction(k, &action, 0);
  raise(40);
  printf("%d %d\n", seen, code);
  puts("ready");
  fflush(stdout);
  while (seen == 40) usleep(1000);
  printf("%d %d\n", seen, code);
  sigset_t set, old;
  sigemptyset(&set), sigaddset(&set, 41), sigaddset(&set, 50);
  sigprocmask(SIG_BLOCK, &set, &old);
  raise(41);
  sigpending(&set);
  printf("%d%d%d\n", sigismember(&set, 41), sigismember(&set, 50), sigismember(&set, 51));
  sigemptyset(&set), sigaddset(&set, 41);
  siginfo_t info;
  int got = sigtimedwait(&set, &info, &(struct timespec){5, 0});
  printf("%d %d\n", got, info.si_signo);
  raise(50);
  seen = 0;
  sigfillset(&set), sigdelset(&set, 50);
  got = ppoll(0, 0, &(struct timespec){5, 0}, &set);
  printf("%d %d\n", got, seen);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 41};
  timer_t timer;
  sigprocmask(SIG_SETMASK, &old, 0);
  timer_create(CLOCK_MONOTONIC, &event, &timer);
  timer_settime(timer, 0, &(struct itimerspec){.it_value = {0, 1000000}}, 0);
  while (seen != 41) usleep(1000);
  printf("%d\n", seen);
  action.sa_handler = SIG_DFL;
  sigaction(45, &action, 0);
  fflush(stdout);
  raise(45);
}
"""


@user_test
def real_time_signals_are_mapped():
    process = subprocess.Popen([emulator(), "-t", "40 50 3", shell_program(SIGNALS)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        expect([process.stdout.readline() for _ in range(2)] == ["40 40\n", "ready\n"], "a signal to itself")
        os.kill(process.pid, 51)
        out, _ = process.communicate(timeout=harness.PATIENCE)
        expect(out == "41 41\n100\n41 41\n-1 50\n41\n", out)
        expect(process.returncode == -45, f"exit status {process.returncode}")
    finally:
        process.kill()

"""What must not bring the emulator down: broken programs, wild pointers, no stack, no memory, an empty world."""

import concurrent.futures
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
from pathlib import Path

import harness
from cases import shell_program
from harness import HERE, PATIENCE, Failure, Skip, compile_program, emulator, expect, same, user_test

TINY = r"""
  .globl _start
_start:
  li a7, 64
  li a0, 1
  la a1, text
  li a2, 3
  ecall
  li a7, 93
  li a0, 0
  ecall
  .data
text: .ascii "ok\n"
  .bss
  .space 5000
"""


TINY_C = r"""
#include <stdio.h>
int data[1000] = {1, 2, 3}, zero[5000];
int main(int argc, char **argv) { return puts(argv[0] && data[1] == 2 && !zero[4999] ? "ok" : "no") < 0; }
"""


def tiny(kind):
    """A small program: (bytes, path). kind: static, pie or dynamic (with an interpreter)."""
    harness.WORK.mkdir(parents=True, exist_ok=True)
    if kind == "dynamic":
        source = harness.WORK / "tiny-dynamic.c"
        if not source.exists() or source.read_text() != TINY_C:
            source.write_text(TINY_C)
        path = compile_program(source, static=False)
    else:
        source = harness.WORK / "tiny.S"
        if not source.exists() or source.read_text() != TINY:
            source.write_text(TINY)
        flags = ["-nostdlib", "-Wl,--build-id=none", *(["-static-pie", "-fPIE"] if kind == "pie" else [])]
        path = compile_program(source, static=kind == "static", flags=flags)
    return Path(path).read_bytes(), path


def broken(data, chance):
    """One way of many to break an ELF file."""
    data = bytearray(data)
    headers, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    way = chance.randrange(5)
    if way == 0:  # bits of the headers
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(headers + 56 * count)
            data[at] ^= 1 << chance.randrange(8)
    elif way == 1:  # a field of a program header, with values that are at the edge of something
        base = headers + 56 * chance.randrange(count)
        value = chance.choice([0, 1, 4095, 4096, 2**31, 2**32 - 1, 2**47 - 4096, 2**47, 2**63 - 1, 2**63, 2**64 - 1, len(data), chance.getrandbits(64), chance.getrandbits(40) << 12])
        struct.pack_into("<Q", data, base + chance.choice([8, 16, 32, 40, 48]), value)
    elif way == 2:  # its end is missing
        del data[chance.choice([chance.randrange(64), headers + chance.randrange(56 * count), chance.randrange(len(data))]):]
    elif way == 3:  # fields of the file's header
        offset, form, bits = chance.choice([(16, "<H", 16), (18, "<H", 16), (24, "<Q", 64), (32, "<Q", 64), (54, "<H", 16), (56, "<H", 16)])
        struct.pack_into(form, data, offset, chance.choice([0, 1, 2, (1 << bits) - 1, chance.getrandbits(bits)]))
    else:  # bytes anywhere
        for _ in range(chance.randint(1, 30)):
            data[chance.randrange(len(data))] = chance.getrandbits(8)
    return bytes(data)


def start_broken(folder, number, data):
    """None, or what is wrong with how it ended, or the signal by which it had to be ended: a program may wait or loop for ever."""
    path = f"{folder}/{number}"
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o700)

    def limits():
        # The emulator attends to SIGXCPU between two blocks: SIGKILL comes to one that is busy with itself.
        resource.setrlimit(resource.RLIMIT_CPU, (1, 4))
        signal.setitimer(signal.ITIMER_REAL, 3)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    try:
        done = subprocess.run([emulator(), "-L", harness.GUEST_SYSROOT, path], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, preexec_fn=limits)
    except subprocess.TimeoutExpired:
        return "does not end"
    finally:
        os.unlink(path)
    said = done.stderr.decode("utf-8", "replace")
    if "internal error" in said or "check failed" in said or "terminate called" in said:
        return f"{done.returncode}: {said}"
    if done.returncode == 1 and said.startswith("lyrebird-riscv64:") and not re.fullmatch(r"lyrebird-riscv64: [^\n]+\n", said):
        return f"no single sentence: {said!r}"
    if done.returncode in (-signal.SIGXCPU, -signal.SIGALRM):
        return -done.returncode
    if done.returncode < 0 and f"uncaught target signal {-done.returncode} " not in said:
        return f"ended by signal {-done.returncode} that is not the guest's: {said}"
    return None


def start_many(kind, count):
    data, _ = tiny(kind)
    chance = random.Random(f"broken {kind}")
    cases = [broken(data, chance) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        endless = 0
        for number, wrong in enumerate(pool.map(lambda each: start_broken(folder, *each), enumerate(cases))):
            if isinstance(wrong, int):
                endless += 1
            elif wrong:
                kept = harness.WORK / f"broken-{kind}-{number}"
                kept.write_bytes(cases[number])
                raise Failure(f"case {number} (kept as {kept}): {wrong}")
        expect(endless <= 2 + count // 200, f"{endless} of {count} do not end")


@user_test
def broken_programs_end_well():
    start_many("static", 250)
    start_many("pie", 100)
    start_many("dynamic", 150)


@user_test(label="long")
def many_broken_programs_end_well():
    for kind in ("static", "pie", "dynamic"):
        start_many(kind, 3000)


MEMORY = r"""
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
static void *idle(void *nothing) { pause(); return 0; }
int main() {
  static char *got[100000];
  int count = 0, threads = 0, status = 0, breaks = 0;
  while (count < 100000 && (got[count] = mmap(0, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED) *got[count++] = 1;
  printf("%s\n", strerror(errno));
  printf("%d\n", malloc(64 << 20) == 0);
  pthread_t thread;
  while (threads < 1000 && !pthread_create(&thread, 0, idle, 0)) threads++;
  printf("%d\n", threads < 1000);
  pid_t child = fork();
  if (!child) _exit(7);
  if (child > 0) waitpid(child, &status, 0);
  printf("%d\n", child < 0 || WEXITSTATUS(status) == 7);
  while (breaks < 100000 && sbrk(1 << 20) != (void *)-1) breaks++;
  printf("%d\n", breaks < 100000);
  while (count > 0) munmap(got[--count], 4 << 20);
  char text[64];
  for (int k = 0; k < 200; k++) snprintf(text, sizeof text, "%d %f %g", k, k * 1.5, k / 3.0);
  printf("%s\n", text);
  fflush(stdout);
  _exit(0);
}
"""


@user_test
def memory_runs_out_for_the_guest_alone():
    program = shell_program(MEMORY)
    for megabytes in (120, 200, 290, 330, 390, 400, 480, 650, 662, 1000, 3000):
        got = harness.run([emulator(), program], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20)))
        expect(got.returncode == 0 and got.stdout == "Cannot allocate memory\n1\n1\n1\n1\n199 298.500000 66.3333\n", f"{megabytes} MiB: {got.returncode} {got.stdout}{got.stderr}")
    for megabytes in (30, 60):
        got = harness.run([emulator(), program], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20)))
        expect(got.returncode == 1 and re.fullmatch(r"lyrebird-riscv64: [^\n]+\n", got.stderr), f"{megabytes} MiB: {got.returncode} {got.stdout}{got.stderr}")


FIRST = r"""
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
volatile int seen;
void handler(int number) { seen = number; }
int main(int argc, char **argv) {
  int status = 0;
  printf("%d %d\n", getpid(), getppid());
  for (int number = 1; number < 32; number++)
    if (number != SIGKILL && number != SIGSTOP) kill(1, number);
  puts("alive");
  signal(SIGTERM, handler), kill(1, SIGTERM);
  printf("%d\n", seen);
  fflush(stdout);
  if (!fork()) {
    if (!fork()) usleep(20000), _exit(getppid() == 1 ? 5 : 6);  // an orphan of ours
    _exit(0);
  }
  for (int left = 2; left--;) {
    wait(&status);
    if (WEXITSTATUS(status)) printf("orphan %d\n", WEXITSTATUS(status));
  }
  fflush(stdout);
  if (argc > 1) *(volatile int *)8 = 1;
  return 9;
}
"""


@user_test
def works_as_the_first_process():
    source = harness.WORK / "first.c"
    harness.WORK.mkdir(parents=True, exist_ok=True)
    if not source.exists() or source.read_text() != FIRST:
        source.write_text(FIRST)
    space = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if harness.run([*space, "true"]).returncode:
        raise Skip("no process namespace of our own")
    native, guest = compile_program(source, native=True), compile_program(source)
    for more in ([], ["crash"]):
        ours, theirs = harness.run([*space, emulator(), guest, *more]), harness.run([*space, native, *more])
        same(ours, theirs, "first process")
        expect("internal error" not in ours.stderr, ours.stderr)


@user_test
def setuid_programs_are_not_debugged():
    if os.geteuid() != 0:
        raise Skip("a setuid program needs root")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(os.path.realpath(emulator()), f"{folder}/emulator")
        program = shutil.copy(compile_program(HERE / "programs/files.c"), f"{folder}/program")
        os.chown(copy, 65533, 65533)
        os.chmod(copy, 0o4755)
        who = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        got = harness.run([*who, copy, "-g", f"{folder}/socket", program], cwd="/tmp")
        if "-g" not in got.stderr:
            raise Skip(f"setuid has no effect here: {got.stderr}")
        expect(got.returncode == 1 and re.fullmatch(r"emulator: -g: [^\n]+\n", got.stderr), got.stderr)
        # The environment is whoever started it's.
        got = harness.run([*who, copy, program], cwd="/tmp", env={"LYREBIRD_GDB": f"{folder}/socket", "QEMU_STRACE": "1"})
        expect(got.returncode == 0 and not got.stderr, got.stderr)


# Every number of the table and beyond, all arguments wild at once; calls that would reach out of the process are left out.
WILD = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static const int left_out[] = {SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_reboot, SYS_vhangup, SYS_syslog, SYS_sync, SYS_syncfs, SYS_ptrace,
                               SYS_clone, SYS_clone3, SYS_setsid, SYS_swapoff, SYS_acct, SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_clock_settime};
int main() {
  const char *none = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *some = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const long bad[] = {0xdead000, -4096, (long)none, (long)1 << 63, (long)some + 65536 - 3, 0x7fffffffffff};
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  // Descriptor 0 is among the arguments: fchmod of the machine's /dev/null must not be.
  int ends[2];
  if (pipe(ends) || dup2(ends[0], 0)) return 1;
  for (int number = 0; number < 480; number++) {
    int skip = 0;
    for (unsigned k = 0; k < sizeof left_out / sizeof *left_out; k++) skip |= left_out[k] == number;
    if (skip) continue;
    const pid_t child = fork();
    if (!child) {
      alarm(2);
      for (int way = 0; way < 64; way++)
        for (unsigned k = 0; k < sizeof bad / sizeof *bad; k++) {
          long a[6];
          for (int n = 0; n < 6; n++) a[n] = way >> n & 1 ? bad[k] : way & 32 ? 16 : 0;
          if (syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) == 0 && (number == SYS_ppoll || number == SYS_pselect6)) break;
        }
      _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return printf("%d: no child\n", number), 1;
    if (number == SYS_seccomp && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) continue;  // strict mode
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM && WTERMSIG(status) != SIGSEGV) printf("%d: signal %d\n", number, WTERMSIG(status));
  }
  puts("end");
}
"""


@user_test
def wild_arguments_in_every_call():
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([emulator(), shell_program(WILD)], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=2 * PATIENCE)
        out, said = done.stdout.decode(), done.stderr.decode("utf-8", "replace")
        expect(done.returncode == 0 and out.endswith("end\n"), f"{done.returncode} {out}{said[-2000:]}")
        expect("internal error" not in said and "check failed" not in said, said[-2000:])
        expect(out == "end\n", out)

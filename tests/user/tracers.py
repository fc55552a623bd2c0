"""Debian's own riscv64 strace and gdb on guest programs: ptrace from a user's side."""

import os
import re
import shutil
import subprocess
import threading
import time

import harness
from harness import HERE, compile_program, emulator, expect, run, user_test

PACKAGES = "base-files,strace,gdb,dash,coreutils"


def debian_tree():
    """Debian's riscv64 packages, unpacked once (about 15 s, 130 MB)."""
    tree = harness.WORK / "tracers"
    if tree.exists():
        return tree
    if not shutil.which("mmdebstrap") or not shutil.which("apt-get"):
        raise harness.Skip("unpacking Debian's strace and gdb needs mmdebstrap")
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], capture_output=True, text=True).stdout
    registries = sorted({line for line in targets.splitlines() if line.rstrip("/").endswith("/debian")})
    if not registries:
        raise harness.Skip("apt names no Debian registry on this machine")
    harness.WORK.mkdir(parents=True, exist_ok=True)
    part = harness.WORK / "tracers.part"
    for _ in range(3):
        shutil.rmtree(part, ignore_errors=True)
        made = subprocess.run(["mmdebstrap", "--quiet", "--variant=extract", "--architectures=riscv64", '--aptopt=Acquire::Check-Valid-Until "false"',
                               f"--include={PACKAGES}", "trixie", str(part), registries[0]], capture_output=True, text=True)
        if made.returncode == 0:
            part.rename(tree)
            return tree
    raise harness.Skip(f"the registry did not give Debian's strace and gdb: {made.stderr[-300:]}")


def guest(*line, **options):
    return run([emulator(), "-L", debian_tree(), *line], **options)


def program(text, name, flags=()):
    harness.WORK.mkdir(parents=True, exist_ok=True)
    source = harness.WORK / f"{name}.c"
    if not source.exists() or source.read_text() != text:
        source.write_text(text)
    return compile_program(source, static=False, flags=["-g", "-O0", *flags])


PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int changed;
int leaf(int x) { changed += x; return x + 1; }
int middle(int x) { int y = leaf(x); return 2 * y; }
int main(int argc, char **argv) {
  printf("middle %d\n", middle(4));
  changed = 40;
  changed = 41;
  pid_t child = fork();
  if (!child) _exit(middle(1));
  int status;
  waitpid(child, &status, 0);
  printf("child %d\n", WEXITSTATUS(status));
  fflush(stdout);
  if (argc > 1) *(volatile int *)16 = 1;
  return 3;
}
"""

THREADS = r"""
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
volatile int stop, count;
pthread_barrier_t barrier;
void here(long k) { __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST); }
void *work(void *k) {
  pthread_barrier_wait(&barrier);
  here((long)k);
  while (!stop) usleep(1000);
  return 0;
}
int main() {
  pthread_t threads[3];
  pthread_barrier_init(&barrier, 0, 4);
  for (long k = 0; k < 3; k++) pthread_create(&threads[k], 0, work, (void *)k);
  puts("ready"), fflush(stdout);
  pthread_barrier_wait(&barrier);
  for (int k = 0; k < 3; k++) pthread_join(threads[k], 0);
  printf("count %d\n", count);
  return 5;
}
"""


@user_test
def strace_shows_calls_of_a_program_and_its_children():
    out = harness.WORK / "strace.txt"
    got = guest("/usr/bin/strace", "-f", "-o", out, "/usr/bin/dash", "-c", "/usr/bin/echo one; /usr/bin/echo two | /usr/bin/cat; kill -TERM $$")
    text = out.read_text()
    expect(got.stdout == "one\ntwo\n" and got.returncode in (-15, 143), f"{got.returncode} {got.stdout}{got.stderr}")
    for pattern in (r'^\d+ +execve\("/usr/bin/dash", \["/usr/bin/dash", "-c", .*\) = 0$', r'^\d+ +execve\("/usr/bin/echo", \["/usr/bin/echo", "one"\], ', r"^\d+ +<\.\.\. execve resumed>\) += 0$|^\d+ +execve.*= 0$", r'^\d+ +write\(1, "one\\n", 4\) += 4$',
                    r"^\d+ +exit_group\(0\) += \?$", r"^\d+ +\+\+\+ exited with 0 \+\+\+$", r"^\d+ +--- SIGCHLD \{si_signo=SIGCHLD, si_code=CLD_EXITED, .* si_status=0,", r"^\d+ +\+\+\+ killed by SIGTERM \+\+\+$",
                    r"^\d+ +wait4\(-1, .*\) += \d+$|^\d+ +<\.\.\. wait4 resumed>"):
        expect(re.search(pattern, text, re.M), f"no line like {pattern} in:\n{text[-3000:]}")
    expect(len({line.split()[0] for line in text.splitlines()}) == 4, "four processes")
    expect("syscall_0xffff" not in text and "???" not in text, text[-3000:])


@user_test
def strace_has_the_kernel_filter_for_it():
    got = guest("/usr/bin/strace", "-f", "--seccomp-bpf", "-e", "trace=execve", "/usr/bin/dash", "-c", "/usr/bin/echo one")
    expect(got.returncode == 0 and got.stdout == "one\n" and got.stderr.count("execve(") == 2, got.stdout + got.stderr)


@user_test
def strace_attaches():
    inside = program(THREADS, "tracer-threads")
    process = subprocess.Popen([emulator(), "-L", str(debian_tree()), inside], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        expect(process.stdout.readline() == "ready\n", "it did not start")
        out = harness.WORK / "attached.txt"
        out.unlink(missing_ok=True)
        tracer = subprocess.Popen([emulator(), "-L", str(debian_tree()), "/usr/bin/strace", "-f", "-o", str(out), "-p", str(process.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(int(harness.PATIENCE * 50)):
            if out.exists() and len(re.findall(r"clock_nanosleep\(.*\) = 0$", out.read_text(), re.M)) > 20:
                break
            time.sleep(0.02)
        expect(process.poll() is None, "it ended")
        tracer.terminate()  # detaches
        tracer.communicate(timeout=harness.PATIENCE)
        threads = {line.split()[0] for line in out.read_text().splitlines()}
        expect(len(threads) == 4, f"{threads}")
        time.sleep(0.1)
        expect(process.poll() is None, "it did not go on")
    finally:
        os.killpg(process.pid, 9)
        process.communicate()


def gdb(inside, *commands, arguments=()):
    got = guest("/usr/bin/gdb", "-batch", "-nx", *(word for command in commands for word in ("-ex", command)), "--args", inside, *arguments, env={**os.environ, "SHELL": "/usr/bin/dash"})
    return got.stdout + got.stderr


def in_order(text, *patterns):
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.M).search(text, at)
        expect(found, f"no line like {pattern} (in its place) in:\n{text}")
        at = found.end()


@user_test
def gdb_runs_a_program():
    text = gdb(program(PROGRAM, "tracer-program"), "break leaf", "run", "bt", "info registers pc", "finish", "delete", "next", "print changed", "watch changed", "continue", "continue", "delete", "print leaf(5)",
               "stepi", "info sharedlibrary", "continue")
    in_order(text, r"^Breakpoint 1, leaf \(x=4\)", r"^#0  leaf \(x=4\)", r"^#1 .* in middle \(x=4\)", r"^#2 .* in main \(", r"^pc .* <leaf\+", r"^Value returned is \$1 = 5$", r"^\$2 = 4$", r"^Old value = 4$", r"^New value = 40$",
             r"^New value = 41$", r"^\$3 = 6$", r"libc\.so\.6$", r"^child 4$", r"exited with code 03\]$")


@user_test
def gdb_follows_children_and_shows_faults():
    inside = program(PROGRAM, "tracer-program")
    in_order(gdb(inside, "set follow-fork-mode child", "break middle if x == 1", "run", "bt", "continue"), r"hit Breakpoint 1\.?\d*, middle \(x=1\)", r"^#1 .* in main \(", r"exited with code 04\]$")
    in_order(gdb(inside, "run", "bt", "print $_siginfo.si_signo", "print $_siginfo._sifields._sigfault.si_addr", "kill", arguments=["x"]), r"received signal SIGSEGV", r"^#0 .* in main \(argc=2", r"^\$1 = 11$", r"= \(void \*\) 0x10$", r"killed\]$")


@user_test
def gdb_shows_threads():
    inside = program(THREADS, "tracer-threads")
    text = gdb(inside, "break here", "run", "info threads", "set var stop=1", "continue", "continue", "bt 2", "continue")
    in_order(text, r'^Thread \d .* hit Breakpoint 1, here \(k=\d\)', r'^. 1 .*"tracer-threads" ', r"here \(k=", r"hit Breakpoint 1, here", r"hit Breakpoint 1, here", r"^#0  here \(", r"^#1 .* in work \(", r"count 3", r"exited with code 05\]$")


@user_test
def gdb_attaches_and_detaches():
    inside = program(THREADS, "tracer-threads")
    process = subprocess.Popen([emulator(), "-L", str(debian_tree()), inside], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        expect(process.stdout.readline() == "ready\n", "it did not start")
        got = guest("/usr/bin/gdb", "-batch", "-nx", "-p", str(process.pid), "-ex", "info threads", "-ex", "thread apply all bt", "-ex", "set var stop=1", "-ex", "detach")
        in_order(got.stdout, r'^. 1 .*"tracer-threads" ', r"^  4 .*\"tracer-threads\" ", r"^#\d+ .* in work \(k=", r"detached\]$")
        out, err = process.communicate(timeout=harness.PATIENCE)
        expect(out == "count 3\n" and process.returncode == 5, f"{process.returncode} {out}{err}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.communicate()


@user_test
def what_is_no_guest_is_not_traced():
    sleeper = subprocess.Popen(["/bin/sleep", "100"])
    try:
        got = guest("-d", "unimp", "/usr/bin/strace", "-p", str(sleeper.pid))
        expect(got.returncode == 1 and "Operation not permitted" in got.stderr and f"process {sleeper.pid} is not one of this emulator's" in got.stderr, got.stderr)
    finally:
        sleeper.kill()
        sleeper.wait()


@user_test
def a_debugger_of_the_host_sees_the_emulator_undisturbed():
    if not shutil.which("strace"):
        raise harness.Skip("the host has no strace")
    got = run(["strace", "-f", "-o", harness.WORK / "host-strace.txt", emulator(), compile_program(HERE / "programs/threads.c")])
    expect(got.returncode == 0, got.stderr)
    expect("--- SIGTRAP" not in (harness.WORK / "host-strace.txt").read_text(), "an int3 without a tracer of ours")


RENUMBERED = r"""
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int got;
static void handler(int signal) { got = signal; }
int main() {
  pid_t child = fork();
  if (!child) {
    signal(40, handler), signal(SIGUSR1, handler);
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    raise(40);
    printf("handled %d\n", got);
    raise(SIGUSR1);  // of which the tracer makes 40
    printf("handled %d\n", got), fflush(stdout);
    raise(41);
    _exit(1);
  }
  int status;
  siginfo_t info;
  waitpid(child, &status, 0);
  const int pass[] = {0, 40, 40, 41};
  for (int k = 0; k < 4; k++) {
    ptrace(PTRACE_CONT, child, 0, pass[k]);
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status)) break;
    ptrace(PTRACE_GETSIGINFO, child, 0, &info);
    printf("stopped by %d, siginfo %d\n", WSTOPSIG(status), info.si_signo);
  }
  printf("killed by %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : -1);
}
"""


@user_test
def tracers_see_the_guests_numbers_of_signals():
    source = harness.WORK / "renumbered.c"
    harness.WORK.mkdir(parents=True, exist_ok=True)
    if not source.exists() or source.read_text() != RENUMBERED:
        source.write_text(RENUMBERED)
    native = run([compile_program(source, native=True)])
    for options in ([], ["-t", "40 50 2"]):
        harness.same(run([emulator(), *options, compile_program(source)]), native, f"signals {options}")

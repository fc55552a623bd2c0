"""Core files of guest programs, as gdb reads them."""

import os
import re
import resource
import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import harness
from debugger import gdb_program
from harness import PATIENCE, Skip, compile_program, emulator, expect, user_test

PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
volatile int spin = 1;
char *heap;
pthread_barrier_t barrier;
void *sleeper(void *p) { pthread_barrier_wait(&barrier); for (;;) pause(); return 0; }
void *spinner(void *p) { pthread_barrier_wait(&barrier); while (spin); return 0; }
__attribute__((noipa)) void fail(int x) {
  unsigned long sp, tp;
  __asm__ volatile("mv %0, sp\n mv %1, tp" : "=r"(sp), "=r"(tp));
  printf("sp %#lx tp %#lx\n", sp, tp);
  fflush(stdout);
  double d = 2.5;
  __asm__ volatile("fmv.d fs5, %0\n li s9, 0x1234\n li s10, 0x77\n sw %1, 0x10(zero)" ::"f"(d), "r"(x) : "s9", "s10", "fs5", "memory");
}
int main(int argc, char **argv) {
  const char *what = argv[1];
  heap = strcpy(malloc(100), "on the heap");
  mmap(0, 1ul << 36, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  char *big = mmap(0, 1ul << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  big[1 << 29] = 1;
  if (!strcmp(what, "none")) setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  if (!strcmp(what, "secret")) prctl(PR_SET_DUMPABLE, 0);
  if (!strcmp(what, "large")) memset(big, 1, 4 << 20);
  if (!strcmp(what, "pause")) {
    puts("here");
    fflush(stdout);
    for (;;) pause();
  }
  if (!strcmp(what, "fork")) {
    if (fork()) for (;;) pause();
    fail(42);
  }
  pthread_barrier_init(&barrier, 0, 3);
  pthread_t thread;
  pthread_create(&thread, 0, sleeper, 0);
  pthread_create(&thread, 0, spinner, 0);
  pthread_barrier_wait(&barrier);
  usleep(20000);
  fail(42);
}
"""


def program():
    harness.WORK.mkdir(parents=True, exist_ok=True)
    source = harness.WORK / "dumped.c"
    if not source.exists() or source.read_text() != PROGRAM:
        source.write_text(PROGRAM)
    return compile_program(source, static=True, flags=["-g"])


def check_pattern():
    with open("/proc/sys/kernel/core_pattern") as file:
        pattern = file.read().strip()
    if not pattern.startswith("|") and "/" in pattern:
        raise Skip(f"this host's core files go to {pattern}")


def begin(limit, hard):
    resource.setrlimit(resource.RLIMIT_CORE, (limit, hard))
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell's background has it ignored


def dump(what, folder, limit=resource.RLIM_INFINITY, act=None):
    """Runs the program until a signal ends it; its exit status, what it printed, and the core file, if there is one."""
    check_pattern()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard != resource.RLIM_INFINITY and (limit == resource.RLIM_INFINITY or limit > hard):
        raise Skip("core files are limited here (ulimit -H -c)")
    process = subprocess.Popen([emulator(), program(), what], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
                               preexec_fn=lambda: begin(limit, hard))
    try:
        if act:
            act(process)
        out, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    files = list(Path(folder).iterdir())
    expect(len(files) <= 1, f"files: {files}")
    return process, out, files[0] if files else None


def look(core, *commands):
    line = [gdb_program(), "-nx", "-batch", "-ex", "set width 0", "-ex", "set debuginfod enabled off", "-ex", f"file {program()}", "-ex", f"core {core}"]
    for command in commands:
        line += ["-ex", f"echo <{command}>\\n", "-ex", command]
    return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE).stdout


@user_test
def a_core_file_has_threads_and_memory():
    with tempfile.TemporaryDirectory() as folder:
        process, out, core = dump("threads", folder)
        expect(process.returncode == -signal.SIGSEGV and core, f"exit status {process.returncode}, core {core}")
        with open(core, "rb") as file:
            head = file.read(64)
        expect(head[:4] == b"\x7fELF" and struct.unpack_from("<HH", head, 16) == (4, 243), "it is no core of a riscv64 program")
        expect(core.stat().st_mode & 0o777 == 0o600, "others may read it")
        expect(core.stat().st_size > 1 << 30 and core.stat().st_blocks * 512 < 8 << 20, f"holes are written: {core.stat()}")
        sp, tp = re.match(r"sp (0x[0-9a-f]+) tp (0x[0-9a-f]+)\n", out).groups()
        text = look(core, "backtrace", "p/x $sp", "p/x $tp", "p/x $s9", "p/x $s10", "p $fs5.double", "p heap", "p $_siginfo._sifields._sigfault.si_addr", "info auxv", "info threads",
                    "thread apply all backtrace", "info proc mappings")
        expect(text.count("LWP") >= 3 and f"[Current thread is 1 (LWP {process.pid})]" in text.replace("Thread 0x", "LWP 0x") or "[Current thread is 1" in text, text)
        for pattern in (rf"LWP {process.pid}", r"#0 .* fail \(x=", r"#1 .* main", rf"<p/x \$sp>\n\$\d+ = {sp}\n", rf"<p/x \$tp>\n\$\d+ = {tp}\n", r"= 0x1234\n", r"= 0x77\n", r"= 2.5\n", r"on the heap", r"= \(void \*\) 0x10",
                        r"AT_EXECFN.*dumped", r"spinner \(p=", r"(sleeper|pause) \(", r"SIGSEGV", r"static/dumped"):
            expect(re.search(pattern, text), f"'{pattern}' is not in what gdb said:\n{text[-6000:]}")


@user_test
def core_files_keep_to_their_limits():
    with tempfile.TemporaryDirectory() as folder:
        for what, limit in (("threads", 0), ("none", resource.RLIM_INFINITY), ("secret", resource.RLIM_INFINITY)):
            process, _, core = dump(what, folder, limit)
            expect(process.returncode == -signal.SIGSEGV and not core, f"{what}: exit status {process.returncode}, core {core}")
        process, _, core = dump("large", folder, 1 << 20)
        expect(process.returncode == -signal.SIGSEGV and core, f"exit status {process.returncode}")
        expect(core.stat().st_blocks * 512 <= (1 << 20) + 65536, f"more than 1 MiB was written: {core.stat()}")


@user_test
def core_files_of_other_signals_and_children():
    def quit(process):
        expect(process.stdout.readline() == "here\n", "it does not run")
        process.send_signal(signal.SIGQUIT)

    with tempfile.TemporaryDirectory() as folder:
        process, _, core = dump("pause", folder, act=quit)
        expect(process.returncode == -signal.SIGQUIT and core, f"exit status {process.returncode}")
        expect(re.search(r"(?s)SIGQUIT.*main", look(core, "backtrace")), look(core, "backtrace"))
    with tempfile.TemporaryDirectory() as folder:
        def wait_for_core(process):
            deadline = time.monotonic() + PATIENCE
            while not (files := list(Path(folder).iterdir())) or not files[0].stat().st_size:
                expect(time.monotonic() < deadline, "the child left no core")
                time.sleep(0.05)
            time.sleep(0.2)
            process.kill()

        _, out, core = dump("fork", folder, act=wait_for_core)
        expect("fail (x=" in look(core, "backtrace"), look(core, "backtrace"))
    # An ending that leaves none.
    with tempfile.TemporaryDirectory() as folder:
        process, _, core = dump("pause", folder, act=lambda p: (p.stdout.readline(), p.terminate()))
        expect(process.returncode == -signal.SIGTERM and not core, f"exit status {process.returncode}, core {core}")

"""gdb attached to a machine: a bare program of two harts, in M-mode and behind page tables, and a Linux kernel."""

import contextlib
import os
import re
import shutil
import subprocess
import time

from gdb_stub import Stub, gdb_answers, gdb_arguments
from harness import EMULATOR, PATIENCE, Failure, Guest, Skip, check, only_lyrebird, scratch, system_test

# Hart 0 counts in memory and calls a function; hart 1 has a counter of its own. `loop` and `leaf` are where the tests stop.
PROGRAM = r"""
  .option norelax
  .type leaf, @function
  .globl _start, loop, leaf, after, other, counter, elsewhere, looked
_start:
  .cfi_startproc
  .cfi_undefined ra
  csrr t0, mhartid
  lla sp, stack_top
  bnez t0, other_hart
  li t1, 0x2000
  csrs mstatus, t1
  li s1, 0x1234
  fcvt.d.w fa0, zero
loop:
  addi s1, s1, 1
  lla a0, counter
  call leaf
after:
  lla t1, looked
  ld t2, 0(t1)
  j loop
  .cfi_endproc
leaf:
  .cfi_startproc
  ld a1, 0(a0)
  addi a1, a1, 1
  sd a1, 0(a0)
  ret
  .cfi_endproc
other_hart:
  lla a2, elsewhere
other:
  ld a3, 0(a2)
  addi a3, a3, 1
  sd a3, 0(a2)
  j other
  .data
  .balign 8
counter: .dword 0
looked: .dword 7
  .balign 4096
elsewhere: .dword 0
  .space 1024
stack_top:
"""

# One gigapage of Sv39 maps 0xffffffc000000000 to RAM; the program goes on there in S-mode and sleeps in between.
PAGED = r"""
  .option norelax
  .globl _start, high, low_end
_start:
  csrr t0, mhartid
  li t1, -1
  csrw pmpaddr0, t1
  li t1, 0x1f
  csrw pmpcfg0, t1
  lla t0, table
  srli t1, t0, 12
  li t2, 8 << 60
  or t1, t1, t2
  csrw satp, t1
  sfence.vma
  li t1, 0x1800
  csrc mstatus, t1
  li t1, 0x0800
  csrs mstatus, t1
  lla t1, high
  li t2, 0xffffffc000000000 - 0x80000000
  add t1, t1, t2
  csrw mepc, t1
  mret
low_end:
high:
  addi s2, s2, 1
  lla t0, word
  ld t1, 0(t0)
  j high
  .data
  .balign 8
word: .dword 0x5566778811223344
  .balign 4096
table:
  .space 256 * 8
  .dword 0x200000cf
  .space 255 * 8
"""


def gdb_program():
    found = shutil.which("gdb-multiarch")
    if not found:
        raise Skip("gdb-multiarch is not installed")
    return found


def assemble(folder, source, name="program"):
    compiler = shutil.which("riscv64-linux-gnu-gcc")
    if not compiler:
        raise Skip("riscv64-linux-gnu-gcc is not installed")
    text, program = folder / f"{name}.S", folder / f"{name}.elf"
    text.write_text(source)
    subprocess.run([compiler, "-nostdlib", "-static", "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany", "-Wl,-n,--no-warn-rwx-segments,-Ttext=0x80000000,--build-id=none", "-o", program, text],
                   check=True)
    return program


@contextlib.contextmanager
def machine(folder, program, *options, smp=1, emulator=EMULATOR):
    """A stopped machine (-S) with its stub on a Unix socket; yields the socket's path."""
    path = folder / "gdb"
    command = [emulator, "-M", "virt", "-m", "64M", "-smp", str(smp), "-display", "none", "-serial", "null", "-monitor", "none", "-bios", str(program),
               "-S", "-gdb", f"unix:{path}", *map(str, options)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 20 * PATIENCE
        while not path.exists():
            check(process.poll() is None, f"the emulator ended: {process.stdout.read() if process.poll() is not None else ''}")
            check(time.monotonic() < deadline, "the stub's socket did not appear")
            time.sleep(0.02)
        yield str(path), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        with contextlib.suppress(OSError):
            os.unlink(path)


def gdb(target, program, *commands, seconds=30):
    """Runs gdb with these commands; returns what each of those that are ('name', command) printed, by name."""
    arguments = [gdb_program(), "-nx", "-batch", "-ex", "set confirm off", "-ex", "set pagination off", "-ex", "set width 0", "-ex", "set architecture riscv:rv64"]
    if program:
        arguments += ["-ex", f"file {program}"]
    arguments += ["-ex", f"target remote {target}"]
    arguments += gdb_arguments(commands)
    try:
        run = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds * PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"gdb did not end: {(error.stdout or b'').decode('utf-8', 'replace')[-3000:]}") from None
    return run.stdout + run.stderr, gdb_answers(run.stdout)


def expect(output, said, **wanted):
    for name, pattern in wanted.items():
        check(name in said and re.search(pattern, said[name]), f"{name}: '{pattern}' is not in '{said.get(name)}'; gdb said:\n{output[-4000:]}")


ACCELS = ("tcg", "interp", "tcg,thread=single")


@system_test
def stop_step_and_look():
    with scratch() as folder:
        program = assemble(folder, PROGRAM)
        for accel in ACCELS:
            with machine(folder, program, "-accel", accel) as (path, _):
                output, said = gdb(path, program, ("reset", "p/x $pc"), ("zero", "p/x $mhartid"), ("privilege", "p $priv"),
                                   "break *(long)&loop", "continue", ("first", "p/x $s1"), ("double", "p $fa0.double"),
                                   "continue", ("second", "p/x $s1"), "delete", "stepi", ("stepped", "x/i $pc"), ("s1", "p/x $s1"),
                                   "hbreak *(long)&leaf", "continue", ("function", "info symbol $pc"), ("back", "backtrace 2"), ("before", "p/d *(long*)&counter"),
                                   "finish", ("after", "p/d *(long*)&counter"), ("where", "info symbol $pc"),
                                   "set var $s1 = 0x7000", "break *(long)&loop", "continue", "continue", ("written", "p/x $s1"),
                                   "set var *(long*)&counter = 1000", "delete", "break *(long)&after", "continue", ("counter", "p/d *(long*)&counter"),
                                   ("csr", "p/x $mtvec"), "set var $mscratch = 0x55", ("scratch", "p/x $mscratch"), "monitor info status")
                expect(output, said, reset=r"= 0x1000", zero="= 0x0", privilege=r"= (prv:3 \[Machine\]|3)", first="= 0x1234", double="= 0", second="= 0x1235", stepped=r"auipc|la|loop", s1="= 0x1236",
                       function="^leaf in", back=r"#1 .*", before="= 1", after="= 2", where="^after in", written="= 0x7001", counter="= 1001|= 1002",
                       csr="= 0x", scratch="= 0x55")
                check("VM status: paused" in output, f"the monitor did not answer: {output}")


@system_test
def watchpoints():
    with scratch() as folder:
        program = assemble(folder, PROGRAM)
        for accel in ACCELS:
            with machine(folder, program, "-accel", accel) as (path, _):
                output, said = gdb(path, program, "break *(long)&loop", "continue", "delete", "watch *(long*)&counter", ("store", "continue"), ("pc1", "info symbol $pc"),
                                   ("again", "continue"), "delete", "rwatch *(long*)&looked", ("load", "continue"), ("pc2", "info symbol $pc"),
                                   "delete", "awatch *(long*)&counter", ("read", "continue"), ("pc3", "info symbol $pc"), ("write", "continue"),
                                   "delete", "break *(long)&loop", ("free", "continue"), ("value", "p/d *(long*)&counter"))
                # The instruction after the access.
                expect(output, said, store=r"Old value = 0\s+New value = 1", pc1=r"leaf \+", again=r"Old value = 1\s+New value = 2", load=r"Hardware read watchpoint",
                       pc2=r"after \+", read=r"Hardware access \(read/write\) watchpoint", pc3=r"leaf \+", write=r"Old value = 2\s+New value = 3", free="Breakpoint",
                       value="= 3")


@system_test
def several_harts():
    with scratch() as folder:
        program = assemble(folder, PROGRAM)
        for accel in ACCELS:
            with machine(folder, program, "-accel", accel, smp=2) as (path, _):
                output, said = gdb(path, program, ("threads", "info threads"), "break *(long)&other", "continue", "delete",
                                   "thread 2", ("hart", "p/x $mhartid"), "set scheduler-locking on", "stepi", "stepi", "stepi", "stepi", ("moved", "p/x $pc >= (long)&other"),
                                   "thread 1", ("still", "p/x $mhartid"), ("frozen", "p $pc"), "thread 2", "stepi", "thread 1", ("same", "p $pc"),
                                   "set scheduler-locking off", "thread 2", "tbreak *(long)&other", "continue", ("hit", "p/x $mhartid"),
                                   "watch *(long*)&elsewhere", ("watched", "continue"), ("who", "p/x $mhartid"))
                expect(output, said, threads=r"(?s)1 .*CPU#0.*2 .*CPU#1", hart="= 0x1", moved="= 0x1", still="= 0x0", hit="= 0x1", watched=r"Old value = \d+\s+New value = \d+", who="= 0x1")
                frozen, same = (said[name].split("=")[1].strip() for name in ("frozen", "same"))
                check(frozen == same, f"hart 0 moved from {frozen} to {same} while only hart 1 stepped")


@system_test
def interrupt_detach_and_attach_again():
    with scratch() as folder:
        program = assemble(folder, PROGRAM)
        with machine(folder, program, smp=2) as (path, process):
            output, said = gdb(path, program, "break *(long)&loop", "continue", "delete", ("one", "p/d *(long*)&counter"), "detach")
            expect(output, said, one="= 0")
            time.sleep(0.3)
            # It ran meanwhile; a debugger that comes stops it.
            output, said = gdb(path, program, ("two", "p/d *(long*)&counter"), "detach")
            expect(output, said, two=r"= \d{3}")
            first = said["two"]
            time.sleep(0.3)
            output, said = gdb(path, program, ("three", "p/d *(long*)&counter"), "kill")
            expect(output, said, three=r"= \d{3}")
            said["two"] = first
            two, three = (int(said[name].split("=")[1]) for name in ("two", "three"))
            check(three > two, f"the counter stood still: {two}, {three}")
            check(process.wait(timeout=20 * PATIENCE) == 0, f"killed by the debugger, it ended with status {process.returncode}")


@system_test
def behind_page_tables():
    with scratch() as folder:
        program = assemble(folder, PAGED)
        for accel in ACCELS:
            with machine(folder, program, "-accel", accel) as (path, _):
                offset = "0xffffffc000000000 - 0x80000000"
                output, said = gdb(path, program, f"break *((long)&high + {offset})", "continue", ("pc", f"p (long)$pc == (long)&high + {offset}"), ("privilege", "p $priv"),
                                   "continue", ("again", "p $s2"), ("there", f"x/gx (long)&word + {offset}"), ("not_there", "x/gx 0x80000000"),
                                   "maintenance packet Qqemu.PhyMemMode:1", "set var $a0 = (long)&word", ("physical", "x/gx $a0"), "maintenance packet Qqemu.PhyMemMode:0",
                                   "delete", f"rwatch *(long*)((long)&word + {offset})", ("watched", "continue"), "stepi", ("step", "p (long)$pc > 0xffffffc000000000"))
                expect(output, said, pc="= 1", privilege=r"Supervisor|= 1", again="= 1", there="0x5566778811223344", physical="0x5566778811223344",
                       watched="read watchpoint", step="= 1")
                check("Cannot access memory at address 0x80000000" in output, f"an address that is not mapped was read: {output}")


def stub_symbol(program, name):
    lines = subprocess.run(["riscv64-linux-gnu-nm", program], check=True, capture_output=True, text=True).stdout.splitlines()
    return next(line.split()[0] for line in lines if line.split()[-1] == name)


@system_test
def the_protocol_itself():
    with scratch() as folder:
        program = assemble(folder, PROGRAM)
        with machine(folder, program, smp=2) as (path, process):
            stub = Stub(path, 20 * PATIENCE)
            check(stub.ask("qSupported:multiprocess+") == "PacketSize=20020;qXfer:features:read+;vContSupported+;multiprocess+", "qSupported")
            check(stub.ask("?") == "T05thread:p01.01;", "the first stop")
            check(stub.ask("qfThreadInfo") == "mp01.01,p01.02", "threads")
            check(len(stub.ask("g")) == 33 * 16, "core registers")
            check(stub.ask("m80000000,0") == "", "an empty read")
            check(stub.ask("m0fffff000,4") == "E14", "a read where nothing is")
            stub.send("vCont;c")
            time.sleep(0.2)
            stub.socket.sendall(b"\x03")
            check(stub.answer() == "T02thread:p01.01;", "an interrupt")
            stub.send("vCont;s:p1.2")
            check(stub.answer() == "T05thread:p01.02;", "a step of the second vCPU")
            # A watchpoint reports before the access, and lets it pass when the client goes on.
            counter = int(stub_symbol(program, "counter"), 16)
            check(stub.ask(f"Z2,{counter:x},8") == "OK", "a watchpoint")
            seen = []
            for _ in range(3):
                stub.send("vCont;c:p1.1")
                check(stub.answer() == f"T05thread:p01.01;watch:{counter:x};", "the stop at a watchpoint")
                seen.append(int.from_bytes(bytes.fromhex(stub.ask(f"m{counter:x},8")), "little"))
            check(seen == list(range(seen[0], seen[0] + 3)), f"stores seen: {seen}")
            check(stub.ask(f"z2,{counter:x},8") == "OK", "a watchpoint removed")
            # Rubbish does no harm.
            stub.socket.sendall(b"$g#00$m#6d\xff\x00$vCont;s:p9.9#00$" + b"Z" * 200000 + b"#00")
            check(stub.answer() == "E22", "an answer to a packet without arguments")
            check(stub.ask("?").startswith("T05"), "an answer after rubbish")
            check(stub.ask("D;1") == "OK", "detach")
            stub.socket.close()
            check(process.poll() is None, "it ended")


@system_test
def the_end_of_the_machine_is_told():
    source = "  .globl _start\n_start:\n  li t0, 0x100000\n  li t1, 0x5555\n  sw t1, 0(t0)\n1: j 1b\n"
    with scratch() as folder:
        program = assemble(folder, source)
        with machine(folder, program) as (path, process):
            output, _ = gdb(path, program, "continue")
            check("exited normally" in output, f"gdb was not told: {output}")
            check(process.wait(timeout=20 * PATIENCE) == 0, f"exit status {process.returncode}")


@system_test
def a_32_bit_machine():
    only_lyrebird()
    emulator = EMULATOR.replace("riscv64", "riscv32")
    if not os.path.exists(emulator):
        raise Skip(f"there is no {emulator}")
    with scratch() as folder:
        text, program = folder / "p.S", folder / "p.elf"
        text.write_text("  .globl _start, spin, word\n_start:\n  li s1, -5\nspin:\n  addi s1, s1, 1\n  lla a0, word\n  sw s1, 0(a0)\n  j spin\n  .data\nword: .word 0\n")
        compiler = shutil.which("riscv64-linux-gnu-gcc")
        if not compiler:
            raise Skip("riscv64-linux-gnu-gcc is not installed")
        subprocess.run([compiler, "-nostdlib", "-static", "-march=rv32gc", "-mabi=ilp32d", "-Wl,-n,--no-warn-rwx-segments,-melf32lriscv,-Ttext=0x80000000,--build-id=none", "-o", program, text], check=True)
        with machine(folder, program, emulator=emulator) as (path, _):
            output, said = gdb(path, program, "break *(int)&spin", "continue", ("minus", "p $s1"), "delete", "watch *(int*)&word", ("store", "continue"), "stepi", ("status", "p/x $mstatus"))
            expect(output, said, minus="= -5", store=r"Old value = 0\s+New value = -4", status="= 0x")


@system_test
def linux_under_a_debugger():
    with scratch() as folder:
        path = folder / "gdb"
        with Guest("-gdb", f"unix:{path}", smp=2) as guest:
            guest.boot()
            output, said = gdb(path, None, ("threads", "info threads"), ("satp", "p/x $satp"), ("code", "x/2i $pc"), "stepi", "stepi", ("pc", "p/x $pc"), "detach")
            expect(output, said, threads=r"(?s)CPU#0.*CPU#1", satp="= 0x[89a]", pc="= 0x")
            check(guest.run("echo $((6*7))") == "42", "the guest did not go on")
            guest.poweroff()

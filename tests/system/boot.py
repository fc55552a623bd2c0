"""Boots, reboots, power-offs."""

import hashlib
import re
import signal

from harness import Failure, Guest, check, is_lyrebird, only_lyrebird, system_test


@system_test
def one_cpu():
    with Guest() as guest:
        check(guest.boot() == 1, "the guest sees another number of CPUs than one")
        check(guest.run("uname -m") == "riscv64", "uname -m is not riscv64")
        check(guest.run("echo $((6*7))") == "42", "the guest's shell cannot count")
        guest.poweroff()


@system_test
def the_kernel_complains_of_nothing():
    """A wrong translation shows first as a self-test of the kernel that fails, or as a warning."""
    with Guest() as guest:
        guest.boot()
        log = guest.run("dmesg")
        bad = [line for line in log.splitlines() if re.search(r"WARNING:|BUG:? |Oops|self-tests? .*failed|test failed|Call Trace", line) and "soft lockup" not in line]
        check(not bad, "the kernel says: " + "; ".join(bad[:3]))
        guest.poweroff()


@system_test
def checksums_of_known_data():
    """Long runs of integer code whose results are known, over lengths that end anywhere in a block."""
    with Guest() as guest:
        guest.boot()
        for length in (0, 3, 64, 1000, 300000):
            data = b"x" * length
            guest.run(f"head -c {length} /dev/zero | tr '\\0' x >/tmp/data")
            for tool in ("md5", "sha1", "sha256", "sha512"):
                got = guest.run(f"{tool}sum </tmp/data").split()[0]
                check(got == hashlib.new(tool, data).hexdigest(), f"{tool}sum of {length} bytes is wrong: {got}")
            got = guest.run("gzip -c </tmp/data | gunzip -c | sha256sum").split()[0]
            check(got == hashlib.sha256(data).hexdigest(), f"gzip and gunzip change {length} bytes")
        guest.poweroff()


@system_test
def four_cpus():
    with Guest(smp=4) as guest:
        check(guest.boot() == 4, "the guest does not see four CPUs")
        sums = guest.run("for i in 0 1 2 3; do (taskset -c $i sh -c 'dd if=/dev/zero bs=64k count=64 2>/dev/null | sha256sum') & done; wait", 120)
        lines = [line for line in sums.splitlines() if line.endswith("-")]
        check(len(lines) == 4 and len(set(lines)) == 1, f"four checksums of the same data differ: {sums}")
        check(lines[0].startswith("bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8"),
              "the checksum of 4 MiB of zeroes is wrong")
        guest.poweroff()


@system_test
def four_cpus_on_one_thread():
    with Guest("-accel", "tcg,thread=single", smp=4) as guest:
        check(guest.boot(400) == 4, "the guest does not see four CPUs")
        guest.run("sync")
        guest.poweroff()


@system_test
def reboot():
    with Guest(smp=2) as guest:
        guest.boot()
        guest.run("true")
        guest.send("reboot\n")
        guest.expect("Linux version", 120)
        guest.boot()
        guest.run("true")
        guest.poweroff()


@system_test
def no_reboot():
    with Guest("-no-reboot") as guest:
        guest.boot()
        guest.send("reboot\n")
        check(guest.wait() == 0, "-no-reboot ended with another status than 0")
        check(guest.output.count("Linux version") == 1, "the guest booted again")


@system_test
def shell_exit_powers_off():
    with Guest() as guest:
        guest.boot()
        guest.send("exit\n")
        check(guest.wait() == 0, "the emulator ended with another status than 0")


@system_test
def firmware_on_the_interpreter():
    only_lyrebird()
    with Guest("-accel", "interp", linux=False) as guest:
        guest.expect(r"OpenSBI v\d", 60)
        guest.expect(r"Boot HART ID +: 0", 120)
        guest.signal(signal.SIGTERM)
        check(guest.wait() == 0, "SIGTERM did not end the emulator with status 0")


@system_test
def ctrl_a_x_quits():
    with Guest(linux=False) as guest:
        guest.expect(r"OpenSBI v\d")
        guest.send("\x01x")
        check(guest.wait() == 0, "Ctrl-A x did not end the emulator with status 0")


def boot_and_leave(count, smp):
    for number in range(count):
        with Guest(smp=smp) as guest:
            try:
                guest.boot(180)
                guest.run("true", 30)
                guest.poweroff(60)
            except Failure as failure:
                failure.args = (f"boot {number + 1} of {count}: {failure}",)
                raise


@system_test
def ten_boots_in_a_row():
    boot_and_leave(10, 2)


@system_test(label="long")
def two_hundred_boots_in_a_row():
    boot_and_leave(200, 2)


@system_test
def a_guest_without_firmware_support_halts_quietly():
    """No kernel: the firmware has nowhere to go, and the emulator waits for commands without using a processor for nothing."""
    with Guest(linux=False) as guest:
        guest.expect("Boot HART MEDELEG|Boot HART Base ISA")
        guest.send("\x01c")
        guest.expect(r"\(qemu\) ")
        guest.send("info status\n")
        guest.expect("VM status: running")
        guest.send("quit\n")
        check(guest.wait() == 0, "quit ended with another status than 0")

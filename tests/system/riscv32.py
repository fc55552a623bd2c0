"""32-bit RISC-V. Debian ships no kernel for it: firmware is what there is to boot."""

import os
import subprocess

from harness import EMULATOR, Skip, check, only_lyrebird, scratch, system_test

FIRMWARE = "opensbi-riscv32-generic-fw_dynamic.bin"
PLACES = ["/usr/share/qemu", os.path.expanduser("~/.cache/qemu-anchor/usr/share/qemu")]


def emulator():
    path = EMULATOR.replace("riscv64", "riscv32")
    if not os.path.exists(path):
        raise Skip(f"there is no {path}")
    return path


def output(*arguments):
    """What the machine says in five seconds: it waits for ever at its end."""
    command = ["timeout", "5", emulator(), "-M", "virt", "-m", "64M", "-nographic", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout


@system_test
def opensbi():
    found = [f"{place}/{FIRMWARE}" for place in PLACES if os.path.exists(f"{place}/{FIRMWARE}")]
    if not found:
        raise Skip(f"{FIRMWARE} of QEMU's data files is not installed")
    for accel in "tcg", "interp":
        text = output("-accel", accel, "-bios", found[0])
        check("OpenSBI v" in text, f"no banner under {accel}: {text}")
        check("Boot HART Base ISA          : rv32imafdc" in text, f"not a 32-bit hart under {accel}: {text}")


@system_test
def built_in_firmware():
    text = output("-bios", "builtin")
    check("sbi: there is nothing to start" in text, f"the built-in SBI did not speak: {text}")


@system_test
def a_64_bit_kernel_is_refused():
    only_lyrebird()
    with scratch() as folder:
        kernel = folder / "kernel"
        kernel.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(44))
        command = [emulator(), "-M", "virt", "-nographic", "-bios", "builtin", "-kernel", str(kernel)]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        check(run.returncode == 1, f"exit status {run.returncode}")
        check("another width of this processor; this machine has 32 bits" in run.stderr, run.stderr)

"""What a user does wrong gets one clear sentence and exit status 1."""

import struct

from harness import check, emulator_output, firmware, kernel, only_lyrebird, scratch, system_test


def refused(words, *options):
    status, out, err = emulator_output(*options)
    line = " ".join(map(str, options))
    check(status == 1, f"'{line}' ended with status {status}: {err}")
    check(out == "", f"'{line}' wrote to standard output: {out}")
    lines = err.splitlines()
    check(len(lines) == 1, f"'{line}' said {len(lines)} lines: {err}")
    check(lines[0].startswith("lyrebird-system-riscv64: "), f"'{line}' did not name the program: {err}")
    for word in [words] if isinstance(words, str) else words:
        check(word in lines[0], f"'{line}' did not say '{word}': {err}")


@system_test
def unknown_names_get_the_nearest():
    only_lyrebird()
    refused("did you mean '-kernel'", "-kernle", "x")
    refused("did you mean 'virt'", "-M", "vrit")
    refused("did you mean 'rv64'", "-M", "virt", "-cpu", "rv46")
    refused("did you mean 'zba'", "-M", "virt", "-cpu", "rv64,zbaa=on")
    refused("did you mean 'virtio-blk-device'", "-M", "virt", "-device", "virtio-blk-devise")
    refused("did you mean 'interp'", "-M", "virt", "-accel", "interq")
    refused("did you mean 'in_asm'", "-M", "virt", "-d", "inasm")
    refused("did you mean 'socket'", "-M", "virt", "-chardev", "scoket,id=a")


@system_test
def no_machine():
    only_lyrebird()
    status, _, err = emulator_output()
    check(status == 1, "no machine is not an error")
    check(err == "lyrebird-system-riscv64: No machine specified, and there is no default\nUse -machine help to list supported machines\n", err)


@system_test
def bad_values():
    only_lyrebird()
    base = ("-M", "virt", "-bios", "none", "-display", "none")
    refused("-m 12Q", *base, "-m", "12Q")
    refused("-smp", *base, "-smp", "0")
    refused("topology", *base, "-smp", "3,sockets=2,cores=2")
    refused("5000", *base, "-smp", "5000")
    refused("drive", *base, "-device", "virtio-blk-device,drive=nosuch")
    refused("netdev", *base, "-device", "virtio-net-device,netdev=nosuch")
    refused("nosuch", *base, "-device", "virtio-blk-device,nosuch=1")
    refused("foo", "-M", "virt,foo=on", "-bios", "none")
    refused("requires an argument", *base, "-kernel")
    refused("dfilter", *base, "-dfilter", "1..x")
    refused("/nonexistent/log", *base, "-D", "/nonexistent/log")
    refused("stdio", *base, "-serial", "stdio", "-monitor", "stdio")


@system_test
def bad_files():
    only_lyrebird()
    with scratch() as directory:
        base = ("-M", "virt", "-display", "none", "-bios", firmware())
        refused("/nonexistent/kernel", *base, "-kernel", "/nonexistent/kernel")
        refused("/nonexistent/initrd", *base, "-kernel", kernel(), "-initrd", "/nonexistent/initrd")
        refused("/nonexistent/disk", *base, "-drive", "file=/nonexistent/disk,format=raw")
        refused("/nonexistent/bios", "-M", "virt", "-bios", "/nonexistent/bios")
        refused("/nonexistent/dtb", *base, "-dtb", "/nonexistent/dtb")
        text = directory / "text"
        text.write_text("this is no kernel\n" * 100)
        refused(str(text), *base, "-kernel", text)
        short = directory / "short"
        short.write_bytes(open(kernel(), "rb").read(4096))
        refused(str(short), *base, "-kernel", short)
        elf = directory / "elf"
        # A header that says its one segment lies beyond the end of the file.
        elf.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 243, 1, 0x80200000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
                        + struct.pack("<IIQQQQQQ", 1, 5, 4096, 0x80200000, 0x80200000, 1 << 20, 1 << 20, 4096))
        refused(str(elf), *base, "-kernel", elf)
        refused(str(directory), *base, "-kernel", directory)
        large = directory / "large"
        with open(large, "wb") as file:
            file.truncate(256 << 20)
        refused(str(large), *base, "-m", "128M", "-kernel", kernel(), "-initrd", large)


@system_test
def more_memory_than_the_host_can_map():
    only_lyrebird()
    for size in ("1048576T", "200T"):
        refused("the host cannot map", "-M", "virt", "-bios", "none", "-display", "none", "-m", size)


@system_test
def help_lists():
    only_lyrebird()
    for options, word in (
        (("-h",), "-kernel FILE"),
        (("--version",), "Lyrebird emulator version"),
        (("-M", "help"), "virt"),
        (("-cpu", "help"), "rv64"),
        (("-device", "help"), 'name "virtio-blk-device"'),
        (("-device", "virtio-net-device,help"), "netdev=<netdev>"),
        (("-accel", "help"), "interp"),
        (("-d", "help"), "in_asm"),
        (("-chardev", "help"), "socket"),
    ):
        status, out, err = emulator_output(*options)
        check(status == 0 and err == "", f"{options} ended with status {status}: {err}")
        check(word in out, f"{options} does not list {word}: {out}")


@system_test
def device_tree_is_dumped():
    only_lyrebird()
    with scratch() as directory:
        blob = directory / "virt.dtb"
        status, _, err = emulator_output("-M", f"virt,dumpdtb={blob}", "-bios", "none", "-display", "none")
        check(status == 0, f"dumpdtb ended with status {status}: {err}")
        check(blob.read_bytes()[:4] == b"\xd0\x0d\xfe\xed", "the dumped device tree has no device tree's magic number")

"""virtio-blk: what the guest reads is what the file holds, what it writes and flushes is in the file."""

import hashlib
import os

from harness import Guest, check, scratch, system_test

MIB = 1 << 20
TRANSPORTS = {"mmio": "virtio-blk-device", "pci": "virtio-blk-pci"}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def make_image(directory, mib=32, filled=8):
    path = directory / "disk.img"
    data = os.urandom(filled * MIB)
    path.write_bytes(data + bytes((mib - filled) * MIB))
    return path, data


def with_disk(path, device, *more, extra=""):
    return Guest("-drive", f"file={path},format=raw,if=none,id=d0{extra}", "-device", f"{device},drive=d0", *more)


def read_copy_check(transport, *more, device_options=""):
    with scratch() as directory:
        path, data = make_image(directory)
        with with_disk(path, TRANSPORTS[transport] + device_options, *more) as guest:
            guest.boot()
            check(guest.run("cat /sys/block/vda/size") == str(32 * MIB // 512), "the disk has another size in the guest")
            check(guest.run("dd if=/dev/vda bs=1M count=8 2>/dev/null | sha256sum", 120).split()[0] == sha256(data), "the guest read other data")
            guest.run("dd if=/dev/vda of=/dev/vda bs=1M count=8 seek=16 conv=fsync 2>/dev/null", 120)
            guest.run("dd if=/dev/zero of=/dev/vda bs=4k count=256 seek=2048 oflag=direct 2>/dev/null; echo mark | dd of=/dev/vda bs=512 seek=65535 conv=fsync 2>/dev/null")
            guest.run("echo 3 >/proc/sys/vm/drop_caches")
            check(guest.run("dd if=/dev/vda bs=1M skip=16 count=8 2>/dev/null | sha256sum", 120).split()[0] == sha256(data), "the guest read back other data")
            guest.poweroff()
        image = path.read_bytes()
        check(len(image) == 32 * MIB, "the image changed its size")
        check(image[: 8 * MIB] == data, "data that nobody wrote has changed")
        check(image[16 * MIB : 24 * MIB] == data, "the copy in the image is wrong")
        check(image[65535 * 512 :].startswith(b"mark\n"), "the last sector was not written")


@system_test
def written_and_read_back_mmio():
    read_copy_check("mmio")


@system_test
def written_and_read_back_pci():
    read_copy_check("pci")


@system_test
def written_and_read_back_packed_ring():
    read_copy_check("mmio", device_options=",packed=on")


@system_test
def snapshot_leaves_the_image_alone():
    with scratch() as directory:
        path, data = make_image(directory, mib=16)
        with with_disk(path, TRANSPORTS["mmio"], "-snapshot") as guest:
            guest.boot()
            guest.run("dd if=/dev/zero of=/dev/vda bs=1M count=8 conv=fsync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches")
            check(guest.run("dd if=/dev/vda bs=1M count=8 2>/dev/null | sha256sum", 120).split()[0] == sha256(bytes(8 * MIB)), "the guest does not see its writes")
            guest.poweroff()
        check(path.read_bytes() == data + bytes(8 * MIB), "-snapshot changed the image")


@system_test
def read_only_disk_refuses_writes():
    with scratch() as directory:
        path, data = make_image(directory, mib=16)
        with with_disk(path, TRANSPORTS["mmio"], extra=",readonly=on") as guest:
            guest.boot()
            check(guest.run("cat /sys/block/vda/ro") == "1", "the guest does not see that the disk is read-only")
            guest.run("! dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=fsync 2>/dev/null")
            guest.poweroff()
        check(path.read_bytes() == data + bytes(8 * MIB), "a read-only image has changed")


@system_test
def killed_emulator_keeps_what_was_flushed():
    with scratch() as directory:
        path, _ = make_image(directory, mib=16, filled=0)
        with with_disk(path, TRANSPORTS["mmio"]) as guest:
            guest.boot()
            guest.run("dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null")
            expected = guest.run("sha256sum </tmp/data").split()[0]
            guest.run("dd if=/tmp/data of=/dev/vda bs=1M conv=fsync 2>/dev/null", 120)
            # Writes that nobody flushed are under way when it dies; they may or may not be there.
            guest.send("dd if=/dev/zero of=/dev/vda bs=1M seek=8 count=8 2>/dev/null &\n")
            guest.kill()
        check(sha256(path.read_bytes()[: 4 * MIB]) == expected, "flushed data is missing after SIGKILL")


@system_test
def four_disks():
    with scratch() as directory:
        options = []
        for number in range(4):
            path = directory / f"{number}.img"
            path.write_bytes(bytes([number + 1]) * MIB)
            options += ["-drive", f"file={path},format=raw,if=none,id=d{number}", "-device", f"{TRANSPORTS['pci' if number % 2 else 'mmio']},drive=d{number},serial=disk{number}"]
        with Guest(*options) as guest:
            guest.boot()
            for number in range(4):
                got = guest.run(f"for d in a b c d; do [ \"$(cat /sys/block/vd$d/serial)\" = disk{number} ] && sha256sum </dev/vd$d; done; true").split()[0]
                check(got == sha256(bytes([number + 1]) * MIB), f"disk {number} holds other data in the guest")
            guest.poweroff()

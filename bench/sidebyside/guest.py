"""Builds what runs in the guest: the kernels (for the guest and for this host), the generated programs, the initramfs."""
import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
SOURCES = HERE / "kernels" / "guest"
FLAGS = ["-O2", "-static", "-std=gnu11", "-Wall", "-Wextra"]
TIER1_SIZES = (1000, 1000000)

# name -> repeat count: about 0.7 s each under QEMU's system emulation on a 2.5 GHz server core.
INTEGER = {"hash": 350, "sort": 60, "matrix": 30, "search": 50, "vm": 60, "calls": 500, "list": 8}
FLOATING = {"nbody": 150, "linpack": 90, "spectral": 35}
KERNELS = {**INTEGER, **FLOATING}
PAIR = "sort"                # the job of which two copies run on two vCPUs


class BuildError(Exception):
    """A sentence for the user."""


def run_tool(command, purpose):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise BuildError(f"{purpose} needs '{command[0]}', which is not installed") from None
    if done.returncode:
        raise BuildError(f"{purpose} failed: {' '.join(map(str, command))}\n{done.stderr[-2000:]}")


def newer(target, sources):
    return target.exists() and all(target.stat().st_mtime > s.stat().st_mtime for s in sources)


def build_kernels(build, compiler, suffix):
    """One static executable with every kernel in it."""
    target = build / f"kernels.{suffix}"
    files = sorted(p for p in SOURCES.glob("*.c") if p.name != "init.c")
    if not newer(target, files + [SOURCES / "kernel.h"]):
        run_tool([compiler, *FLAGS, "-o", target, *files, "-lm"], f"building the {suffix} kernels")
    return target


def build_init(build, compiler):
    target = build / "init.riscv64"
    if not newer(target, [SOURCES / "init.c"]):
        run_tool([compiler, *FLAGS, "-o", target, SOURCES / "init.c"], "building the guest's init")
    return target


def build_straightline(build, count, seed):
    """The generated program, kept by what its generator says."""
    generator = HERE / "kernels" / "straightline.py"
    key = hashlib.sha256(generator.read_bytes()).hexdigest()[:12]
    target = build / f"straightline-{count}-{seed}-{key}"
    if not target.exists():
        sys.path.insert(0, str(generator.parent))
        import straightline
        part = target.with_suffix(".part")
        part.write_bytes(straightline.program(count, seed))
        part.replace(target)
    return target


def cpio_entry(number, name, mode, contents=b"", device=(0, 0)):
    """One member of a "newc" archive (Documentation/driver-api/early-userspace/buffer-format.rst of Linux)."""
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(contents), 0, 0, *device, len(encoded), 0)
    entry = b"070701" + b"".join(b"%08X" % f for f in fields) + encoded
    entry += bytes(-len(entry) % 4)
    return entry + contents + bytes(-len(contents) % 4)


def write_initramfs(target, files):
    """`files` maps guest names to host paths; all become executable. /dev/console lets init speak before anything is mounted."""
    entries = [("dev", stat.S_IFDIR | 0o755, b"", (0, 0)), ("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)),
               ("dev/null", stat.S_IFCHR | 0o666, b"", (1, 3))]
    entries += [(name, stat.S_IFREG | 0o755, path.read_bytes(), (0, 0)) for name, path in files.items()]
    archive = b"".join(cpio_entry(i + 1, *entry) for i, entry in enumerate(entries))
    archive += cpio_entry(0, "TRAILER!!!", 0)
    part = target.with_suffix(".part")
    part.write_bytes(archive + bytes(-len(archive) % 512))
    part.replace(target)


class Guest:
    """Everything that the emulators are given, and the native program for the same kernels."""

    def __init__(self, build, cross="riscv64-linux-gnu-gcc", native="cc"):
        build.mkdir(parents=True, exist_ok=True)
        self.native = build_kernels(build, native, "native")
        files = {"init": build_init(build, cross), "kernels": build_kernels(build, cross, "riscv64")}
        files["tier1-warm"] = build_straightline(build, TIER1_SIZES[0], 1)
        for count in TIER1_SIZES:
            files[f"tier1-{count}"] = build_straightline(build, count, 7)
        self.initramfs = build / "bench.cpio"
        write_initramfs(self.initramfs, files)


def boot_cache(root):
    """What machine/boot unpacked: Debian's kernel and firmware for the guest."""
    return root / "build" / "guest" / "riscv64"


def find_kernel(root):
    found = [p for p in (boot_cache(root) / "boot").glob("vmlinu[xz]-*") if os.access(p, os.R_OK)]
    if not found:
        raise BuildError("there is no riscv64 kernel under build/guest: run machine/boot riscv64 once, or name one with --kernel")
    return max(found)


def find_firmware(root):
    """The same firmware for both emulators where machine/boot left one, else the one that each takes by default."""
    cached = boot_cache(root) / "firmware" / "fw_dynamic.bin"
    return str(cached) if cached.is_file() else "default"

"""Finds a QEMU, or unpacks the newest that Debian's packages offer (sid) under build/, beside the system's own."""
import shutil
import subprocess
from pathlib import Path

from .guest import BuildError

PROGRAM = "qemu-system-riscv64"
USER_PROGRAM = "qemu-riscv64"
PACKAGES = "qemu-system-riscv,qemu-user,opensbi"


def in_folder(folder, program=PROGRAM):
    path = Path(folder) / program
    if not path.is_file():
        raise BuildError(f"there is no {program} in {folder}")
    return [str(path.resolve())]


def debian_mirror():
    """The package registry that this machine's apt uses."""
    try:
        listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], capture_output=True, text=True)
    except FileNotFoundError:
        raise BuildError("unpacking QEMU needs a Debian host (apt-get); name a QEMU with --qemu DIR instead") from None
    mirrors = sorted({u for u in listed.stdout.split() if u.rstrip("/").endswith("/debian")})
    return mirrors[0] if mirrors else "http://deb.debian.org/debian"


def unpack(tree):
    """A loader of its own runs it, since sid's libraries are newer than this system's."""
    if not shutil.which("mmdebstrap"):
        raise BuildError("unpacking QEMU needs mmdebstrap (apt-get install mmdebstrap), or name a QEMU with --qemu DIR")
    part = tree.with_name(tree.name + ".part")
    for attempt in range(3):
        shutil.rmtree(part, ignore_errors=True)
        done = subprocess.run(["mmdebstrap", "--quiet", "--variant=extract", "--architectures=amd64",
                               "--aptopt=Acquire::Check-Valid-Until \"false\"", f"--include={PACKAGES}", "sid", str(part), debian_mirror()],
                              capture_output=True, text=True)
        if done.returncode == 0:
            part.rename(tree)
            return
    raise BuildError(f"mmdebstrap could not unpack QEMU in three attempts:\n{done.stderr[-2000:]}")


def sid_tree(build):
    tree = build / "qemu-sid"
    if not tree.exists():
        print("unpacking QEMU from Debian sid (once) ...", flush=True)
        unpack(tree)
    return tree


def unpacked_user(build):
    """QEMU's user mode is one file without libraries."""
    return in_folder(sid_tree(build) / "usr/bin", USER_PROGRAM)


def unpacked(build):
    tree = sid_tree(build)
    loader = next((p for p in (tree / "lib64/ld-linux-x86-64.so.2", tree / "usr/lib64/ld-linux-x86-64.so.2") if p.exists()), None)
    program = tree / "usr/bin" / PROGRAM
    if loader is None or not program.exists():
        raise BuildError(f"{tree} holds no complete QEMU: remove it and run again")
    return [str(loader), "--library-path", str(tree / "usr/lib/x86_64-linux-gnu"), str(program), "-L", str(tree / "usr/share/qemu")]


def version(command):
    done = subprocess.run([*command, "-version"], capture_output=True, text=True)
    return done.stdout.split("\n")[0]

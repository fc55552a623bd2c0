#!/usr/bin/env python3
"""inside.py EMULATOR FOLDER COMMAND...: runs the command in a user namespace with the same users and a binfmt_misc of its own, where EMULATOR is
registered by `lyrebird binfmt register`, and with FOLDER as its root ('/' : this one). Exit status 99: that can not be had here."""

import ctypes
import os
import subprocess
import sys

NEW_USER, NEW_MOUNT = 0x10000000, 0x00020000


def refuse(why):
    print(why, file=sys.stderr, flush=True)
    os._exit(99)


def call(line):
    if subprocess.run(line, stdout=subprocess.DEVNULL).returncode:
        refuse(f"'{' '.join(line)}' failed")


def child(told, ready, emulator, folder, command):
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_USER | NEW_MOUNT):
        refuse(f"unshare: {os.strerror(ctypes.get_errno())}")
    os.write(ready, b"x")
    if not os.read(told, 1):
        os._exit(99)
    os.setgid(0)
    os.setuid(0)
    call(["mount", "-t", "binfmt_misc", "none", "/proc/sys/fs/binfmt_misc"])
    if emulator:
        tool = os.path.join(os.path.dirname(emulator), "lyrebird")
        call([tool, "binfmt", "register", "--interpreter", os.path.realpath(emulator)])
    if folder != "/":
        for name in ("proc", "dev", "sys"):
            os.makedirs(f"{folder}/{name}", exist_ok=True)
            call(["mount", "--rbind", f"/{name}", f"{folder}/{name}"])
        os.chroot(folder)
        os.chdir("/")
    os.execvp(command[0], command)


def main():
    emulator, folder, *command = sys.argv[1:]
    told, tell = os.pipe()
    readied, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(tell)
        try:
            child(told, ready, emulator, folder, command)
        except OSError as error:
            refuse(str(error))
    os.close(ready)
    try:
        if os.read(readied, 1):
            for name in ("uid", "gid"):
                with open(f"/proc/{pid}/{name}_map", "w") as file:
                    file.write("0 0 4294967295\n")
            os.write(tell, b"x")
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
    os.close(tell)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    sys.exit(status if status >= 0 else 128 - status)


main()

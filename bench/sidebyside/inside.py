"""Runs programs of one unpacked system and measures them: one process per emulator, in namespaces of its own.

    unshare -Urm python3 inside.py TREE [ENTRY]

ENTRY is a line for binfmt_misc, which since Linux 6.7 belongs to the user namespace, so that nothing outside sees it. TREE becomes
the root. Then each line of standard input is a job as JSON, answered by a line of JSON.
"""
import hashlib
import json
import os
import resource  # noqa: F401  what wait4 needs can not be loaded from the other root
import signal
import subprocess
import sys
import time
from pathlib import Path

ENVIRONMENT = {"PATH": "/usr/bin:/usr/sbin:/bin", "LC_ALL": "C", "HOME": "/tmp", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
SHOWN = 2000                 # characters of output in an answer
KEPT = ("LYREBIRD_", "QEMU_")


def mount(*words):
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"mount {' '.join(map(str, words))}: {done.stderr.strip()}")


def enter(tree, entry):
    if entry:
        mount("-t", "binfmt_misc", "none", "/proc/sys/fs/binfmt_misc")
        Path("/proc/sys/fs/binfmt_misc/register").write_text(entry)
    for name in ("proc", "dev"):
        (tree / name).mkdir(exist_ok=True)
        mount("--rbind", "/" + name, tree / name)
    mount("-t", "tmpfs", "none", tree / "tmp")
    os.chroot(tree)
    os.chdir("/tmp")


def environment():
    return {**ENVIRONMENT, **{k: v for k, v in os.environ.items() if k.startswith(KEPT)}}


def run(job):
    """Wall and processor seconds (of all its processes), exit status, and what it printed."""
    began = time.monotonic()
    child = subprocess.Popen(job["argv"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    return {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "status": child.returncode,
            "digest": hashlib.sha256(output).hexdigest(), "output": output[-SHOWN:].decode(errors="replace")}


def memory(job):
    """PSS in KiB some seconds after the start."""
    child = subprocess.Popen(job["argv"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    time.sleep(job["after"])
    text = Path(f"/proc/{child.pid}/smaps_rollup").read_text() if child.poll() is None else ""
    child.send_signal(signal.SIGKILL)
    child.wait()
    found = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")]
    return {"pss_kib": found[0] if found else 0, "status": 0 if found else 1, "output": "" if found else "the program ended too early"}


def main():
    try:
        enter(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
        print(json.dumps({"status": 0}), flush=True)
    except OSError as problem:
        print(json.dumps({"status": 1, "output": str(problem)}), flush=True)
        return
    for line in sys.stdin:
        job = json.loads(line)
        if "write" in job:
            Path(job["write"]).write_bytes(bytes.fromhex(job["hex"]))
            os.chmod(job["write"], 0o755)
            answer = {"status": 0}
        else:
            try:
                answer = memory(job) if "after" in job else run(job)
            except OSError as problem:
                answer = {"status": 1, "output": f"{job['argv'][0]}: {problem.strerror}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

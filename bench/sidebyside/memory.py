"""How much private memory a process has dirtied outside its guest's RAM, from /proc/PID/smaps."""
import re
from collections import defaultdict

HEADER = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) (\S+) (\d+) *(.*)$")


def mappings(pid):
    """Dicts with start, size_kib, permissions, offset, device, inode, name and the counters of smaps in KiB."""
    result = []
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            if match := HEADER.match(line):
                start, end = int(match[1], 16), int(match[2], 16)
                result.append({"start": start, "end": end, "size_kib": (end - start) >> 10, "permissions": match[3],
                               "device": match[5], "inode": int(match[6]), "name": match[7]})
            elif line.endswith("kB\n"):
                key, value = line.split(":")
                result[-1][key] = int(value.split()[0])
    return result


def guest_ram(maps, ram_kib):
    """The mappings that are guest RAM: writable and of the size of RAM, or a run of neighbours that make it up.

    An emulator may cut RAM in pieces (huge-page advice) or have it next to something that the host merges with it; so the
    run of adjoining writable mappings closest above the size is taken when no mapping has the size itself.
    """
    writable = [m for m in maps if m["permissions"].startswith("rw")]
    exact = [m for m in writable if m["size_kib"] == ram_kib]
    if exact:
        return exact
    runs = []
    for m in writable:
        if runs and runs[-1][-1]["end"] == m["start"]:
            runs[-1].append(m)
        else:
            runs.append([m])
    large = [r for r in runs if sum(m["size_kib"] for m in r) >= ram_kib]
    return min(large, key=lambda r: sum(m["size_kib"] for m in r), default=[])


def private_dirty_outside_ram(pid, ram_kib):
    """KiB. Memory files that the process maps twice (code, writable and executable) count as shared in smaps; they count once here.

    Returns 0 when the process is gone.
    """
    try:
        maps = mappings(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    ram = {m["start"] for m in guest_ram(maps, ram_kib)}
    total, files = 0, defaultdict(int)
    for m in maps:
        if m["start"] in ram:
            continue
        total += m.get("Private_Dirty", 0)
        if m["device"] == "00:01" or m["name"].startswith(("/memfd:", "/dev/shm/", "/dev/zero")):
            key = (m["device"], m["inode"])
            files[key] = max(files[key], m.get("Shared_Dirty", 0))
    return total + sum(files.values())

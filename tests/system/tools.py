"""The subcommands of `lyrebird`: dis, ir and bench."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

from harness import EMULATOR, FILES, PATIENCE, check, firmware, only_lyrebird, scratch, system_test

TOOL = str(Path(EMULATOR).parent / "lyrebird")


def tool(*arguments, seconds=60):
    done = subprocess.run([TOOL, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds * PATIENCE)
    return done.returncode, done.stdout, done.stderr


def output(*arguments, seconds=60):
    status, out, err = tool(*arguments, seconds=seconds)
    check(status == 0 and err == "", f"lyrebird {' '.join(map(str, arguments))} ended with status {status}: {err}")
    return out


def refused(words, *arguments):
    status, out, err = tool(*arguments)
    line = "lyrebird " + " ".join(map(str, arguments))
    check(status == 1, f"'{line}' ended with status {status}: {err}")
    check(out == "", f"'{line}' wrote to standard output: {out[:200]}")
    check(len(err.splitlines()) == 1 and err.startswith("lyrebird"), f"'{line}' did not say one line that names the program: {err}")
    check(words in err, f"'{line}' did not say '{words}': {err}")


def elf(path, words, machine=243, bits=2, sections=True, address=0x80000000):
    """An executable of one segment; `words` are its 32-bit instructions."""
    code = struct.pack(f"<{len(words)}I", *words)
    names = b"\0.text\0.shstrtab\0.symtab\0.strtab\0"
    symbol_names = b"\0start\0middle\0"
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, address, 8) + struct.pack("<IBBHQQ", 7, 0x12, 0, 1, address + 8, 0)
    code_at, names_at = 0x1000, 0x1000 + len(code)
    symbols_at = names_at + len(names)
    strings_at = symbols_at + len(symbols)
    table_at = strings_at + len(symbol_names)
    rows = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 1, 6, address, code_at, len(code), 0, 0, 4, 0),
        (7, 3, 0, 0, names_at, len(names), 0, 0, 1, 0),
        (17, 2, 0, 0, symbols_at, len(symbols), 4, 1, 8, 24),
        (25, 3, 0, 0, strings_at, len(symbol_names), 0, 0, 1, 0),
    ]
    table = b"".join(struct.pack("<IIQQQQIIQQ", *row) for row in rows) if sections else b""
    header = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, address, 64, table_at if sections else 0, 0, 64, 56, 1, 64,
                                                                        len(rows) if sections else 0, 2 if sections else 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, code_at, address, address, len(code), len(code), 4096)
    body = (header + segment).ljust(code_at, b"\0") + code + names + symbols + symbol_names + table
    path.write_bytes(body)
    return body


# li t0, 0x100000; li t1, 0x5555 (or what is stored there); sw t1, 0(t0); j .
def power_off(value=0x5555):
    return [0x001002B7, (value + 0x800 >> 12) << 12 | 0x337, (value & 0xFFF) << 20 | 0x00030313, 0x0062A023, 0x0000006F]


@system_test
def dis_prints_bytes():
    only_lyrebird()
    lines = [line.split("\t") for line in output("dis", "--hex", "1305150001c5 8280", "--hex", "ffffffff00").splitlines()]
    check([line[0].strip() for line in lines] == ["1000:", "1004:", "1006:", "1008:", "100c:"], f"addresses are wrong: {lines}")
    check([line[2] for line in lines] == ["addi", "c.beqz", "c.jr", ".4byte", ".byte"], f"instructions are wrong: {lines}")
    check("c.j\t0x1000" in output("dis", "--hex", "fdbf", "--at", "0x1002"), "a jump does not say where to")
    check(".2byte" in output("dis", "--cpu", "rv64i", "--hex", "0145"), "a model without compressed instructions has them")


@system_test
def dis_prints_an_elf_file():
    only_lyrebird()
    with scratch() as directory:
        elf(directory / "a", power_off())
        text = output("dis", directory / "a")
        check("section .text:" in text and "<start>:" in text and "<middle>:" in text, f"section and symbols are not named: {text}")
        check(text.index("<start>") < text.index("lui\tt0,0x100") < text.index("<middle>") < text.index("sw\tt1,0(t0)"), f"out of order: {text}")
        check("80000010:\t0000006f\tjal\tzero,0x80000010" in text, f"the last instruction is not there: {text}")
        part = output("dis", "--start", "0x80000004", "--stop=0x8000000c", directory / "a")
        check(len(re.findall(r"^ *8", part, re.M)) == 2 and "<middle>" in part and "<start>" not in part, f"another range: {part}")
        elf(directory / "b", power_off(), sections=False)
        check("lui\tt0,0x100" in output("dis", directory / "b"), "code of a file without sections is not found")


@system_test
def dis_agrees_with_objdump():
    only_lyrebird()
    objdump = shutil.which("riscv64-linux-gnu-objdump")
    busybox = FILES / "bin" / "busybox"
    check(objdump and busybox.exists(), "riscv64-linux-gnu-objdump or the guest's busybox is missing")

    def lines(text):
        found = {}
        for line in text.splitlines():
            match = re.match(r"\s*([0-9a-f]+):\t([0-9a-f]+)\s*\t(.*)", line)
            if match:
                words = re.sub(r" [<#].*", "", match.group(3)).strip().replace("\t", " ")
                found[int(match.group(1), 16)] = match.group(2), re.sub(r"\b0x(?=[0-9a-f]+$)", "", words)
        return found

    ours = lines(output("dis", busybox))
    theirs = lines(subprocess.run([objdump, "-d", "-z", "-M", "no-aliases", busybox], capture_output=True, text=True, check=True).stdout)
    check(len(theirs) > 300000 and ours.keys() == theirs.keys(), f"{len(ours)} and {len(theirs)} instructions")

    def alike(a, b):
        # Exact conversions have a rounding mode here; binutils 2.40 has no name for pause; vector registers have none here yet.
        return a == b or a == b + ",rne" or (a, b) == ("pause", "fence w,unknown") or (re.search(r",0x[0-9a-f]+,", a) and b.split(" ")[0] == a.split(" ")[0] == "csrrs")

    differing = [(hex(at), ours[at], theirs[at]) for at in ours if ours[at][0] != theirs[at][0] or not alike(ours[at][1], theirs[at][1])]
    check(not differing, f"{len(differing)} differ: {differing[:5]}")


@system_test
def ir_prints_the_stages():
    only_lyrebird()
    text = output("ir", "--hex", "1305150083b505018280", "--at", "0x80000000")
    for part in ("IN:\n0x80000000:  addi\ta0,a0,1\n", "\nOP:\nregion start=0x80000000", "set @80(a0)", "\nOP after optimization:\n", "exit_indirect.return", "\nOUT: [size="):
        check(part in text, f"'{part}' is not in {text}")
    before, after = text.split("OP after optimization:")[0], text.split("OP after optimization:")[1].split("OUT:")[0]
    check("set @80(a0)" in before and "set @80(a0)" not in after, "the registers' values are still stored after optimisation")
    only = output("ir", "--stage", "op_opt", "--hex", "13051500")
    check("OP after" in only and "IN:" not in only and "OUT:" not in only and "OP:" not in only, f"other stages were printed: {only}")
    check("fadd" in output("ir", "--key", "0xb", "--stage", "op", "--hex", "53050502"), "the state key does not turn floating point on")
    check("fadd" not in output("ir", "--stage", "op", "--hex", "53050502"), "floating point is on after reset")
    with scratch() as directory:
        elf(directory / "a", power_off())
        check("0x80000000:  lui\tt0,0x100" in output("ir", directory / "a"), "a file's entry is not translated")
        check("0x80000008:  addi\tt1" in output("ir", "--at", "0x80000008", directory / "a"), "another address is not translated")


@system_test
def bench_times_a_machine():
    only_lyrebird()
    with scratch() as directory:
        elf(directory / "off", power_off())
        machine = ("--", "-M", "virt", "-bios", "none", "-display", "none", "-serial", "null", "-kernel", directory / "off")
        found = json.loads(output("bench", "--runs", "3", "--json", *machine))
        check(len(found["runs"]) == 3, "not three runs")
        for run in [*found["runs"], found["median"]]:
            check(0 < run["wall_s"] < 60 * PATIENCE, f"an odd time: {run}")
            # The reset ROM, and the program.
            check(2 <= run["counters"]["translations"] < 20 and 5 <= run["counters"]["translated_insns"] < 100, f"odd counters: {run}")
            check(run["counters"]["device_accesses"] == 1, f"the program accesses one device once: {run}")
        table = output("bench", *machine)
        check(re.search(r"median [\d.]+ s", table) and re.search(r"translated_insns +\d+  guest instructions translated", table), f"no table: {table}")
        console = ("--", "-M", "virt", "-bios", firmware(), "-nographic")
        check("to the text on its console" in output("bench", "--until", "OpenSBI v", *console), "the console's text does not end a run")

        refused("ended before its console showed 'a text'", "bench", "--until", "a text", *machine)
        elf(directory / "fail", power_off(0x53333))
        refused("the machine ended with status 5", "bench", *machine[:-1], directory / "fail")
        elf(directory / "loop", [0x0000006F])
        refused("within 1 s", "bench", "--timeout", "1", *machine[:-1], directory / "loop")
        refused("did you mean 'virt'", "bench", "--", "-M", "vrit")


@system_test
def bad_input_of_the_tools():
    only_lyrebird()
    refused("did you mean 'dis'", "dsi")
    refused("needs a FILE or --hex", "dis")
    refused("not made of whole bytes", "dis", "--hex", "1")
    refused("not hexadecimal", "ir", "--hex", "zz")
    refused("not both", "dis", "--hex", "0100", "x")
    refused("/nonexistent/file", "dis", "/nonexistent/file")
    refused("no code between", "dis", "--hex", "0100", "--start", "0x9999")
    refused("did you mean 'start'", "dis", "--strat", "1", "x")
    refused("'12x' is not an address", "ir", "--at", "12x", "--hex", "0100")
    refused("did you mean 'op_opt'", "ir", "--stage", "op_pot", "--hex", "0100")
    refused("did you mean 'rv64'", "dis", "--cpu", "rv46", "--hex", "0100")
    refused("no whole instruction at 0x1000", "ir", "--hex", "13")
    refused("requires an argument", "bench", "--until")
    refused("at least 1", "bench", "--runs", "0", "--", "-M", "virt")
    refused("after --", "bench", "virt")
    with scratch() as directory:
        good = elf(directory / "a", power_off())
        text = directory / "text"
        text.write_text("this is no program\n" * 10)
        refused("is not an ELF file", "dis", text)
        elf(directory / "x86", power_off(), machine=62)
        refused("no guest here (ELF machine 62", "dis", directory / "x86")
        elf(directory / "rv32", power_off(), bits=1)
        refused("32 bits", "dis", directory / "rv32")
        refused("no whole instruction at 0x90000000", "ir", "--at", "0x90000000", directory / "a")
        # Cut short at every length, and with each byte of the headers spoilt: an answer, and never a crash.
        for size in [*range(0, 200, 7), 0x1000, 0x1008, *range(0x1014, len(good), 13)]:
            (directory / "cut").write_bytes(good[:size])
            check(tool("dis", directory / "cut")[0] in (0, 1), f"a file cut at {size} bytes ended dis by a signal")
        for at in [*range(16, 120), *range(len(good) - 320, len(good), 3)]:
            spoilt = bytearray(good)
            spoilt[at] ^= 0xFF
            (directory / "spoilt").write_bytes(spoilt)
            check(tool("dis", directory / "spoilt")[0] in (0, 1), f"a file with byte {at} spoilt ended dis by a signal")

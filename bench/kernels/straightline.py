"""Makes a static riscv64 program of N different instructions that run once each: the test of translation speed.

The program is one long run of RV64IM words, no two the same: arithmetic on registers and immediates, loads and stores on a
small data area, and every so often a conditional branch on computed data over the next few instructions. It ends by writing all
its registers and the data area to standard output, so that a wrong translation shows in the checksum.
"""
import random
import struct

BASE = 0x10000
DATA_BYTES = 2048
BRANCH_EVERY = 16          # one instruction in so many is a conditional branch, about half of them taken
DATA = 3                   # gp holds the middle of the data area
FREE = [r for r in range(1, 32) if r != DATA]


def r_type(op, f3, f7, rd, rs1, rs2):
    return f7 << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | rd << 7 | op


def i_type(op, f3, rd, rs1, imm):
    return (imm & 0xfff) << 20 | rs1 << 15 | f3 << 12 | rd << 7 | op


def s_type(f3, rs1, rs2, imm):
    return (imm >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | (imm & 0x1f) << 7 | 0x23


def b_type(f3, rs1, rs2, imm):
    return ((imm >> 12 & 1) << 31 | (imm >> 5 & 0x3f) << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 |
            (imm >> 1 & 0xf) << 8 | (imm >> 11 & 1) << 7 | 0x63)


# (opcode, funct3, funct7): RV64I and the multiplications of M.
REGISTER_OPS = [(0x33, f, 0) for f in range(8)] + [(0x33, 0, 0x20), (0x33, 5, 0x20), (0x33, 0, 1), (0x33, 1, 1), (0x33, 3, 1)] + \
               [(0x3b, 0, 0), (0x3b, 0, 0x20), (0x3b, 1, 0), (0x3b, 5, 0), (0x3b, 5, 0x20), (0x3b, 0, 1)]
IMMEDIATE_OPS = [(0x13, f) for f in (0, 2, 3, 4, 6, 7)] + [(0x1b, 0)]
SIZES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 1, 5: 2, 6: 4}          # funct3 of loads -> bytes


def offset(rng, size):
    return rng.randrange(-DATA_BYTES // 2, DATA_BYTES // 2, size)


def one_word(rng):
    """A random instruction that neither jumps nor faults."""
    kind = rng.random()
    rd, rs1, rs2 = rng.choice(FREE), rng.choice(FREE), rng.choice(FREE)
    if kind < 0.34:
        op, f3, f7 = rng.choice(REGISTER_OPS)
        return r_type(op, f3, f7, rd, rs1, rs2)
    if kind < 0.62:
        op, f3 = rng.choice(IMMEDIATE_OPS)
        return i_type(op, f3, rd, rs1, rng.randrange(-2048, 2048))
    if kind < 0.70:
        f3, high = rng.choice(((1, 0), (5, 0), (5, 0x400)))
        return i_type(0x13, f3, rd, rs1, high | rng.randrange(1, 64))
    if kind < 0.76:
        return rng.randrange(1 << 20) << 12 | rd << 7 | rng.choice((0x37, 0x17))
    if kind < 0.92:
        f3 = rng.choice(list(SIZES))
        return i_type(0x03, f3, rd, DATA, offset(rng, SIZES[f3]))
    f3 = rng.randrange(4)
    return s_type(f3, DATA, rs2, offset(rng, SIZES[f3]))


def body(count, seed):
    rng = random.Random(seed)
    seen, words = set(), []
    while len(words) < count:
        if rng.random() < 1 / BRANCH_EVERY and count - len(words) > 8:
            word = b_type(rng.choice((0, 1, 4, 5, 6, 7)), *rng.sample(FREE, 2), 4 * rng.randrange(2, 7))
        else:
            word = one_word(rng)
        if word not in seen:
            seen.add(word)
            words.append(word)
    return words


def load_constant(rd, value):
    """lui and addiw for a positive 31-bit value."""
    high = (value + 0x800) >> 12 & 0xfffff
    return [high << 12 | rd << 7 | 0x37, i_type(0x1b, 0, rd, rd, value & 0xfff)]


def program(count, seed):
    """The bytes of an ELF executable whose text is `count` different instructions between a short start and end."""
    rng = random.Random(seed + 1)
    middle = body(count, seed)
    start_words, end_words = 2 + 2 * len(FREE), len(FREE) + 11
    data = BASE + 0x1000 + -(-4 * (start_words + count + end_words) // 0x1000) * 0x1000 + 0x1000
    words = load_constant(DATA, data + DATA_BYTES // 2)
    for r in FREE:
        words += load_constant(r, rng.randrange(1 << 30))
    words += middle
    # The registers go over the data area's first bytes: it is mixed into them by the loads before.
    words += [s_type(3, DATA, r, 8 * i - DATA_BYTES // 2) for i, r in enumerate(FREE)]
    words += [i_type(0x13, 0, 10, 0, 1), i_type(0x13, 0, 11, DATA, -DATA_BYTES // 2), *load_constant(12, DATA_BYTES),
              i_type(0x13, 0, 17, 0, 64), 0x73]                               # write(1, data, DATA_BYTES)
    words += [i_type(0x13, 0, 10, 0, 0), i_type(0x13, 0, 17, 0, 93), 0x73]    # exit(0)
    text = struct.pack(f"<{len(words)}I", *words)
    contents = rng.randbytes(DATA_BYTES)
    text_offset, text_address = 0x1000, BASE + 0x1000
    data_offset = text_offset + (data - text_address)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01" + bytes(9), 2, 243, 1, text_address, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    header += struct.pack("<IIQQQQQQ", 1, 5, text_offset, text_address, text_address, len(text), len(text), 0x1000)
    header += struct.pack("<IIQQQQQQ", 1, 6, data_offset, data, data, len(contents), len(contents), 0x1000)
    image = header.ljust(text_offset, b"\0") + text
    return image.ljust(data_offset, b"\0") + contents

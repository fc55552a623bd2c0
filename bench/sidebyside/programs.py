"""The Debian programs of `compare --user`: what each is called with, made so that the work is the same on every machine.

Every job prints something that depends on all of its work. `same_as_native` is false where the machine shows in the result (a compiler
writes code for it).
"""
import random
from dataclasses import dataclass

PACKAGES = "base-files,bash,dash,coreutils,grep,sed,mawk,python3,perl,xz-utils,zstd,sqlite3,openssl,gcc,libc6-dev"
DATA_MIB = 1


@dataclass
class Job:
    name: str
    argv: list
    same_as_native: bool = True
    repeat: int = 1             # in one run, for what is short; the median of all counts


PYTHON = """
import json, re, hashlib
def queens(n, row=0, cols=0, left=0, right=0):
    if row == n: return 1
    count, free = 0, ((1 << n) - 1) & ~(cols | left | right)
    while free:
        bit = free & -free
        free ^= bit
        count += queens(n, row + 1, cols | bit, (left | bit) << 1, (right | bit) >> 1)
    return count
print(queens(7))
words = {}
for k in range(60000):
    words["w%d" % (k * 7919 % 5003)] = words.get("w%d" % (k * 31 % 5003), 0) + k
text = json.dumps(sorted(words.items()))
print(len(text), sum(len(m) for m in re.findall(r'w\\d*7\\b', text)), json.loads(text)[17])
print(sum(x * x % 7 for x in range(150000)), 3 ** 4001 % (10 ** 40), sum(1 / k for k in range(1, 60000)))
print(hashlib.sha256(text.encode() * 20).hexdigest())
class Node:
    def __init__(self, depth): self.kids = [Node(depth - 1) for _ in range(4)] if depth else []
    def size(self): return 1 + sum(k.size() for k in self.kids)
print(Node(6).size())
"""

PERL = r"""
use strict; use warnings;
my %count; my $x = 1;
for (1 .. 120000) { $x = ($x * 1103515245 + 12345) & 0x7fffffff; $count{"key" . ($x % 4001)} += length sprintf("%d:%x", $x, $x); }
my $text = join ",", map { "$_=$count{$_}" } sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
my $hits = 0; $hits++ while $text =~ /key(\d)(\d)*\1=(\d+)/g; (my $turned = $text) =~ s/(\d+)=(\d+)/$2=$1/g;
my @f = (0, 1); push @f, ($f[-1] + $f[-2]) % 1000003 for 1 .. 150000;
print length($text), " $hits ", substr($turned, 100, 60), " $f[-1]\n";
"""

SQL = """
create table t(id integer primary key, a int, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 40000)
  insert into t select i, i * 7919 % 10007, 'row ' || (i * 31 % 997) from n;
create index t_a on t(a); create index t_b on t(b);
select count(*), sum(a), min(b), max(b) from t where a between 100 and 5000;
select b, count(*) c, avg(a) from t group by b order by c desc, b limit 5;
select count(*) from t x join t y on x.a = y.a where y.id < 9000 and x.b < y.b;
update t set a = a + 1 where id % 3 = 0; delete from t where b like '%7';
select count(*), sum(a * id % 1000) from t;
"""

# A number's test for being prime is a fixed number of modular powers.
OPENSSL = f"""
openssl dgst -sha256 data
openssl dgst -sha3-512 data
openssl enc -aes-256-ctr -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 00000000000000000000000000000000 -in data | openssl dgst -md5
openssl enc -chacha20 -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 00000000000000000000000000000000 -in data | openssl dgst -sha512
openssl prime {2 ** 1279 - 1}
"""

SHORT_PROCESSES = """
sum=0
for i in $(seq 1 40); do
  /usr/bin/true
  name=$(basename /usr/share/doc/item$i.txt)
  sum=$((sum + $(printf '%s\\n' "$name" | sed 's/[^0-9]//g')))
  case $name in *7*) echo "$name" | cat | grep -c item ;; esac
done
echo $sum
"""

SLEEPER = r"""
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static void *work(void *p) { char *m = malloc(1 << 20); memset(m, (int)(long)p, 1 << 20); sleep(30); return m; }
int main(void) { pthread_t t[16]; for (long k = 0; k < 16; k++) pthread_create(&t[k], 0, work, (void *)k); sleep(30); return 0; }
"""


def data():
    """Text that compresses as real text does, roughly: words drawn with a skew, and some lines again."""
    draw = random.Random(4711)
    words = ["".join(draw.choice("etaoinshrdlucmfw") for _ in range(draw.randint(2, 9))) for _ in range(6000)]
    lines, size = [], 0
    while size < DATA_MIB << 20:
        if lines and draw.random() < 0.15:
            line = draw.choice(lines[-500:])
        else:
            line = " ".join(words[int(6000 * draw.random() ** 3)] for _ in range(12)) + f" {draw.randint(0, 99999)}\n"
        lines.append(line)
        size += len(line)
    return "".join(lines).encode()


def c_source():
    """A C file of 40 functions with loops, switches and structures."""
    parts = ["#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nstruct s { int a[8]; double d; char *p; };\n"]
    for k in range(40):
        cases = "".join(f"    case {c}: x += s->a[{c % 8}] * {k + c}; s->d += x / {c + 1}.5; break;\n" for c in range(9))
        parts.append(f"int f{k}(struct s *s, int n) {{\n  int x = {k};\n  for (int i = 0; i < n; i++) {{\n    switch ((i * {k + 3}) % 11) {{\n{cases}"
                     f"    default: x ^= i; memset(s->a, x & 15, sizeof s->a);\n    }}\n    if (x > {1000 + k} && s->p) printf(\"%d %s\\n\", x, s->p);\n"
                     f"  }}\n  return {'f%d(s, x & 7) + ' % (k - 1) if k else ''}x;\n}}\n")
    return "".join(parts).encode()


FILES = {"/tmp/data": data, "/tmp/program.c": c_source, "/tmp/work.py": PYTHON.encode, "/tmp/work.pl": PERL.encode, "/tmp/work.sql": SQL.encode,
         "/tmp/openssl.sh": OPENSSL.encode, "/tmp/short.sh": SHORT_PROCESSES.encode}

JOBS = [
    Job("python3", ["python3", "work.py"]),
    Job("perl", ["perl", "work.pl"]),
    Job("xz", ["xz", "-6", "-T1", "-c", "data"]),
    Job("zstd", ["zstd", "-q", "-12", "-T1", "-c", "data"]),
    Job("sqlite3", ["sqlite3", "-init", "/dev/null", ":memory:", ".read work.sql"]),
    Job("openssl", ["bash", "openssl.sh"]),
    Job("gcc", ["bash", "-c", "gcc -O2 -S -o - program.c"], same_as_native=False),
    Job("short processes", ["bash", "short.sh"]),
    Job("/usr/bin/true", ["/usr/bin/true"], repeat=10),
]

# Resident share one second after the start.
MEMORY = {"PSS of sleep": ["/usr/bin/sleep", "30"], "PSS of python3": ["python3", "-c", "import time; time.sleep(30)"],
          "PSS of 16 threads": ["/tmp/sleeper"]}

"""Medians, ratios and verdicts of a set of runs, as a table and as JSON.

Every ratio is "how many times faster than QEMU": above 1 is better. The targets are the project's; a missed one is a line in
the table, never a failure, because only the two emulators' ratio in one session means something.
"""
import math
from statistics import median

from .guest import FLOATING, INTEGER, PAIR, TIER1_SIZES

NONE_SLOWER = 0.95
MEMORY_LIMIT_MIB = 64


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def verdict(value, target, aim=None):
    if aim is not None and value >= aim:
        return f"aim {aim:g} met"
    return f"target {target:g} " + ("met" if value >= target else "MISSED")


class Series:
    """The runs of one emulator, or of the native programs: median of each thing measured."""

    def __init__(self, single, double, clock):
        self.single, self.double, self.clock = single, double, clock

    def _of(self, run_list, name):
        found = [r.results[name] for r in run_list if name in r.results]
        return median(r.cpu_seconds if self.clock == "cpu" else r.seconds for r in found) if found else None

    def kernel(self, name):
        return self._of(self.single, name)

    def boot(self):
        times = [r.boot_cpu_seconds if self.clock == "cpu" else r.boot_seconds for r in self.single if r.boot_seconds]
        return median(times) if times else None

    def dirty_mib(self):
        sizes = [r.dirty_kib / 1024 for r in self.single if r.dirty_kib]
        return median(sizes) if sizes else None

    def translation(self):
        """Seconds for the large program less those for the small one, run by run."""
        small, large = (f"tier1-{n}" for n in TIER1_SIZES)
        pick = (lambda r: r.cpu_seconds) if self.clock == "cpu" else (lambda r: r.seconds)
        times = [pick(r.results[large]) - pick(r.results[small]) for r in self.single if large in r.results and small in r.results]
        return median(times) if times else None

    def pair_gain(self):
        """How much more work two processors do than one, for two independent jobs: 2 at best. Always by the wall clock."""
        gains = [2 * r.results[PAIR].seconds / r.results[f"pair-{PAIR}"].seconds
                 for r in self.double if PAIR in r.results and f"pair-{PAIR}" in r.results]
        return median(gains) if gains else None

    def checksums(self):
        """Pairs of name and checksum of the runs with one vCPU; a pair checks itself."""
        return {(name, result.checksum) for r in self.single for name, result in r.results.items()}


class Report:
    def __init__(self, names, ours, theirs, native):
        self.names, self.ours, self.theirs, self.native, self.rows = names, ours, theirs, native, []
        self.add_time("boot to userspace", ours.boot(), theirs.boot(), None, target=1, aim=1 / 0.6)
        self.add_group("integer", INTEGER, target=1.5)
        self.add_group("floating point", FLOATING, target=4)
        self.add_time("tier-1 translation", ours.translation(), theirs.translation(), None, target=1, aim=1.5)
        self.add_gain()
        self.add_memory()

    def add(self, name, ours, theirs, ratio=None, native="", judged=""):
        self.rows.append({"name": name, "ours": ours, "theirs": theirs, "ratio": ratio, "native": native, "verdict": judged})

    def add_time(self, name, ours, theirs, native, target, aim=None):
        if ours and theirs:
            ratio = theirs / ours
            self.add(name, f"{ours:.3f} s", f"{theirs:.3f} s", ratio, f"{ours / native:.1f}x" if native else "", verdict(ratio, target, aim))

    def add_group(self, title, names, target):
        ratios, over_native = [], []
        for name in names:
            ours, theirs, native = (s.kernel(name) for s in (self.ours, self.theirs, self.native))
            self.add_time(name, ours, theirs, native, NONE_SLOWER)
            if ours and theirs:
                ratios.append(theirs / ours)
            if ours and native:
                over_native.append(ours / native)
        if len(ratios) > 1:
            mean = geometric_mean(ratios)
            native = f"{geometric_mean(over_native):.1f}x" if over_native else ""
            self.add(f"{title}, geometric mean", "", "", mean, native, verdict(mean, target))

    def add_gain(self):
        ours, theirs, native = (s.pair_gain() for s in (self.ours, self.theirs, self.native))
        if ours and theirs and native:
            self.add("gain of two vCPUs", f"{ours:.2f}", f"{theirs:.2f}", None, f"{native:.2f}", verdict(ours / native, 0.9) + " of native's")

    def add_memory(self):
        ours, theirs = self.ours.dirty_mib(), self.theirs.dirty_mib()
        if ours and theirs:
            judged = f"limit {MEMORY_LIMIT_MIB} MiB " + ("kept" if ours <= MEMORY_LIMIT_MIB else "EXCEEDED")
            self.add("private dirty memory", f"{ours:.1f} MiB", f"{theirs:.1f} MiB", None, "", judged)

    def disagreements(self):
        """Names whose checksums are not the same everywhere."""
        sums = {}
        for series in (self.ours, self.theirs, self.native):
            for name, checksum in series.checksums():
                sums.setdefault(name, set()).add(checksum)
        return sorted(name for name, different in sums.items() if len(different) > 1)

    def text(self):
        ours, theirs = self.names
        lines = [f"{'':<31}{ours:>12}{theirs:>12}{'faster':>9}{'/native':>9}  verdict"]
        for r in self.rows:
            ratio = f"{r['ratio']:.2f}x" if r["ratio"] else ""
            lines.append(f"{r['name']:<31}{r['ours']:>12}{r['theirs']:>12}{ratio:>9}{r['native']:>9}  {r['verdict']}")
        return "\n".join(lines)

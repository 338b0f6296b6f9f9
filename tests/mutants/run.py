# SPDX-License-Identifier: BSD-2-Clause
"""Take each guard away in turn, and expect a test to fail for it.

The tree is built once, as far as the tests need it, and copied for each job. A mutant is one edit
in a copy, a build of the test that it names, and one run of that test (bench.py), which has to
succeed without it. A mutant is killed when that test fails or does not end. Those whose tests are
scripts, which take longest, come last.
"""

import argparse
import collections
import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path[:0] = [str(HERE), str(TOP / "tests/lint")]
os.environ.setdefault("top_srcdir", str(TOP))
import bench  # noqa: E402
import mutants  # noqa: E402


def seed_of_commit():
    """The same sample for the same commit, another one for the next."""
    got = subprocess.run(["git", "-c", "safe.directory=*", "rev-parse", "HEAD"], cwd=TOP,
                         capture_output=True, text=True)
    return int(got.stdout[:8], 16) if got.returncode == 0 else 0


def draw(chosen, seed):
    """In an order of chance that does not change for the others when one is added."""
    seen = collections.Counter()

    def key(m):
        text = f"{seed} {m.file} {m.find} {m.replace} {m.test}"
        seen[text] += 1
        return hashlib.sha256(f"{text} {seen[text]}".encode()).digest()

    return sorted(chosen, key=key)


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--count", type=int, help="only that many, chosen by the seed")
    p.add_argument("--seed", type=int, default=seed_of_commit(), help="default: from the commit")
    p.add_argument("--seconds", type=float, help="begin no further mutant after that time")
    p.add_argument("--only", default="", help="only lists or files whose name has one of these words, with commas")
    p.add_argument("--results", type=argparse.FileType("a"), help="append a line for each as it ends")
    return p.parse_args()


class Run:
    """The mutants that were drawn, one after another."""

    def __init__(self, args):
        self.args = args
        self.begin = time.monotonic()
        self.results = []

    def passed(self):
        return time.monotonic() - self.begin

    def judge(self, job):
        number, m = job
        if self.args.seconds and self.passed() > self.args.seconds:
            self.results.append("not run")
            return
        begin = self.passed()
        result, why = self.bench.judge(m, number)
        self.results.append(result)
        if self.args.results:
            print(result, f"{self.passed() - begin:.1f}", m.where, m.file, why, sep="\t",
                  file=self.args.results, flush=True)
        if result not in ("killed", "skipped"):
            print(f"{result}{why and ': ' + why}\n  {m.where} in {m.file}, test {m.test}\n"
                  f"  - {m.find}\n  + {m.replace}", flush=True)

    def all(self, chosen, work):
        tests = sorted({t for m in chosen for t in m.test.split()})
        self.bench = bench.Bench(TOP, work, self.args.jobs, tests)
        built = self.passed()
        chosen.sort(key=lambda m: any(map(bench.is_script, m.test.split())))
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            list(pool.map(self.judge, enumerate(chosen)))
        killed, late, skipped = map(self.results.count, ("killed", "not run", "skipped"))
        tried = len(self.results) - late - skipped
        print(f"killed {killed} of {tried}" + (f" ({late} not run for want of time)" if late else "")
              + (f"; {skipped} skipped, whose tests can't run here" if skipped else "")
              + f"; seed {self.args.seed}, {built:.0f} s to build, {self.passed() - built:.0f} s to try")
        return tried == killed > 0 and "broken" not in self.results


def main():
    args = parse_arguments()
    every, complaints = mutants.load(TOP)
    if complaints:
        sys.exit("\n".join(complaints))
    chosen = [m for m in every if any(w in m.where or w in m.file for w in args.only.split(","))]
    chosen = draw(chosen, args.seed)[:args.count]
    if not chosen:
        sys.exit("no mutants")
    # A short name: sockets are made below it.
    work = pathlib.Path(tempfile.mkdtemp(prefix="mutants-"))
    work.chmod(0o755)
    try:
        good = Run(args).all(chosen, work)
    except bench.Broken as e:
        sys.exit(str(e))
    if not good:
        sys.exit(f"logs: {work}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()

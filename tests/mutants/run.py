# SPDX-License-Identifier: BSD-2-Clause
"""Take each guard away in turn, and expect a test to fail for it.

The tree is built once, as far as the tests need it, and copied for each job; each test has to
succeed there. A mutant is one edit in a copy, a rebuild of the test that it names, and one run of
that test (bench.py). A mutant is killed when that test fails or does not end. Mutants of the
slowest tests come last.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
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


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--count", type=int, help="only that many, chosen by the seed")
    p.add_argument("--seed", type=int, default=seed_of_commit(), help="default: from the commit")
    p.add_argument("--seconds", type=float, help="begin no further mutant after that time")
    p.add_argument("--only", default="", help="only lists or files whose name has this in it")
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
        if result != "killed":
            print(f"{result}{why and ': ' + why}\n  {m.where} in {m.file}, test {m.test}\n"
                  f"  - {m.find}\n  + {m.replace}", flush=True)

    def all(self, chosen, work):
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            tests = sorted({t for m in chosen for t in m.test.split()})
            self.bench = bench.Bench(TOP, work, self.args.jobs, tests, pool)
            ready = self.passed()
            usual = self.bench.usual
            chosen = [m for m in chosen if any(t in usual for t in m.test.split())]
            chosen.sort(key=self.bench.cost)
            list(pool.map(self.judge, enumerate(chosen)))
        killed, skipped = self.results.count("killed"), self.results.count("not run")
        print(f"killed {killed} of {len(self.results) - skipped}"
              + (f" ({skipped} not run for want of time)" if skipped else "")
              + f", seed {self.args.seed}; {ready:.0f} s to build and try {len(usual)} tests, "
              f"{self.passed() - ready:.0f} s for the mutants")
        return killed > 0 and killed + skipped == len(self.results)


def main():
    args = parse_arguments()
    every, complaints = mutants.load(TOP)
    if complaints:
        sys.exit("\n".join(complaints))
    chosen = [m for m in every if args.only in m.where or args.only in m.file]
    random.Random(args.seed).shuffle(chosen)
    chosen = chosen[:args.count]
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

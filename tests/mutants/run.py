# SPDX-License-Identifier: BSD-2-Clause
"""Take each guard away in turn, and expect a test to fail for it.

The tree is copied and built once, then once more for each job; a mutant is one
edit there, a rebuild of what depends on it, and one run of the test that it
names. A mutant is killed when that test fails or does not end.
"""

import argparse
import concurrent.futures
import os
import pathlib
import queue
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
import mutants  # noqa: E402
import tree  # noqa: E402

MADE = ("configure", "aclocal.m4", "config.h.in", "Makefile.in", "m4/pkg.m4")


class Broken(Exception):
    """The mutant or the tree does not build; that proves nothing."""


def copy_source(to):
    names = tree.tracked() + [n for n in MADE if (TOP / n).exists()]
    names += [str(p.relative_to(TOP)) for p in (TOP / "build-aux").iterdir()]
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TOP / name, to / name)


def run(argv, cwd, log, timeout=None, env=None):
    with open(log, "ab") as out:
        p = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                             env=env, start_new_session=True)
        try:
            return p.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)
            p.wait()
            return None


def has_script(tests):
    return any(t.endswith((".py", ".sh")) for t in tests)


def build(place, log, jobs, tests):
    """All of it if a script is among the tests: it may run any program."""
    steps = [["./configure", "-q", "--disable-hardening", "--enable-fatal-weird", "CFLAGS=-O0"]]
    if has_script(tests):
        steps += [["make", f"-j{jobs}", "all"], ["make", f"-j{jobs}", "check", "TESTS="]]
    else:
        steps += [["make", f"-j{jobs}", *tests]]
    for argv in steps:
        if run(argv, place, log) != 0:
            raise Broken(f"{' '.join(argv)} failed; see {log}")


def clone(base, place):
    """A built tree, moved: only the Makefile knows where it is."""
    shutil.copytree(base, place, symlinks=True)
    makefile = place / "Makefile"
    makefile.write_text(makefile.read_text().replace(str(base), str(place)))


def run_test(place, test, log, timeout):
    """Exit status; None when it did not end."""
    env = dict(os.environ, top_srcdir=str(place), top_builddir=str(place), PYTHON=sys.executable,
               POSTHOUSE_TEST_ROUNDS="2", POSTHOUSE_TEST_PATIENCE="20", MALLOC_PERTURB_="90")
    if test.endswith(".py"):
        argv = [sys.executable, "-B", test]
    elif test.endswith(".sh"):
        argv = ["sh", test]
    else:
        argv = ["./" + test]
    return run(argv, place, log, timeout, env)


def rebuild(place, tests, log):
    scripts = has_script(tests)
    if scripts and run(["make", "all"], place, log) != 0:
        raise Broken(f"does not compile; see {log}")
    if run(["make", *(["check", "TESTS="] if scripts else tests)], place, log) != 0:
        raise Broken(f"does not compile; see {log}")


class Bench:
    """The built copies and what the tests need when nothing is wrong."""

    def __init__(self, work, jobs, wanted):
        self.work = work
        base = work / "base"
        base.mkdir()
        copy_source(base)
        tests = sorted({t for m in wanted for t in m.test.split()})
        build(base, work / "build.log", jobs, tests)
        self.usual = {}
        for test in tests:
            begin = time.monotonic()
            status = run_test(base, test, work / "usual.log", 300)
            self.usual[test] = time.monotonic() - begin
            if status == 77:
                print(f"skipped here, and so are its mutants: {test}")
                del self.usual[test]
            elif status != 0:
                raise Broken(f"{test} fails without any mutant; see {work / 'usual.log'}")
        self.places = queue.Queue()
        for i in range(jobs):
            clone(base, work / f"job{i}")
            self.places.put(work / f"job{i}")

    def judge(self, mutant, number):
        """"killed", "survived" or "broken: why"."""
        place = self.places.get()
        log = self.work / f"mutant-{number}.log"
        path = place / mutant.file
        original = path.read_text()
        tests = [t for t in mutant.test.split() if t in self.usual]
        try:
            path.write_text(mutant.apply(original))
            rebuild(place, tests, log)
            survived = all(run_test(place, t, log, 10 + 5 * self.usual[t]) == 0 for t in tests)
            return "survived" if survived else "killed"
        except Broken as e:
            return f"broken: {e}"
        finally:
            path.write_text(original)
            self.places.put(place)


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
    return p.parse_args()


def judge_all(bench, chosen, args, begin):
    def one(item):
        number, m = item
        if args.seconds and time.monotonic() - begin > args.seconds:
            return m, "not run"
        return m, bench.judge(m, number)

    results = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for m, result in pool.map(one, enumerate(chosen)):
            results.append(result)
            if result not in ("killed", "not run"):
                print(f"{result}\n  {m.where} in {m.file}, test {m.test}\n"
                      f"  - {m.find}\n  + {m.replace}", flush=True)
    return results


def main():
    args = parse_arguments()
    begin = time.monotonic()
    every, complaints = mutants.load(TOP)
    if complaints:
        sys.exit("\n".join(complaints))
    chosen = [m for m in every if args.only in m.where or args.only in m.file]
    random.Random(args.seed).shuffle(chosen)
    chosen = chosen[:args.count]
    if not chosen:
        sys.exit("no mutants")
    work = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-mutants-"))
    try:
        bench = Bench(work, args.jobs, chosen)
    except Broken as e:
        sys.exit(str(e))
    chosen = [m for m in chosen if any(t in bench.usual for t in m.test.split())]
    results = judge_all(bench, chosen, args, begin)
    killed = results.count("killed")
    skipped = results.count("not run")
    print(f"killed {killed} of {len(results) - skipped}"
          + (f" ({skipped} not run for want of time)" if skipped else "")
          + f", seed {args.seed}")
    if killed + skipped < len(results) or killed == 0:
        sys.exit(f"logs: {work}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-2-Clause
"""Built trees to try mutants in: one that stays as it is, and a copy of it for each job.

In a copy a mutant is one edit; make builds what the named test is made of, and no more. Then
whatever differs from the first tree is copied back from there, with its times, so that make
sees no more to do than before.
"""

import dataclasses
import filecmp
import os
import pathlib
import queue
import re
import resource
import select
import shutil
import subprocess
import sys
import threading
import time

import tree

MADE = ("configure", "aclocal.m4", "config.h.in", "Makefile.in", "m4/pkg.m4")
# What scripts run; the sanity check fails for one that is missing here.
PROGRAMS = ("posthoused", "posthousectl", "posthouse-sendmail")
HELPERS = ("tests/sink/posthouse-sink", "tests/system/posthoused-faulty", "tests/scale/fill")
FAILED = re.compile(rb"^\[  FAILED  \]", re.M)  # cmocka says so at once, and goes on
SKIPPED = 77


class Broken(Exception):
    """The mutant or the tree does not build; that proves nothing."""


def is_script(test):
    return test.endswith((".py", ".sh"))


@dataclasses.dataclass
class Ended:
    """How a program ended, and what it needed."""
    why: str = None     # it is no success
    seconds: float = 0
    cpu: float = 0


def wait_for_end(p, seconds, has_failed, ended):
    """Why it is no success; None: it is one."""
    begin = time.monotonic()
    end = os.pidfd_open(p.pid)
    try:
        while not select.select([end], [], [], 0.1)[0]:
            if has_failed():
                return "failed"
            if time.monotonic() - begin > seconds:
                return f"no end within {seconds:.0f} s"
    finally:
        os.close(end)
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    ended.seconds = time.monotonic() - begin
    ended.cpu = usage.ru_utime + usage.ru_stime
    if p.returncode != 0:
        return f"exit {p.returncode}" if p.returncode > 0 else f"signal {-p.returncode}"
    return "failed" if has_failed() else None


def run(argv, cwd, log, seconds=3600, cpu=3600, env=None, stop_early=False):
    """In time, and in no more than so much processor time."""
    begin = log.stat().st_size if log.exists() else 0
    ended = Ended()
    with open(log, "ab") as out:
        p = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                             env=env, start_new_session=True)
    try:
        resource.prlimit(p.pid, resource.RLIMIT_CPU, (int(cpu), int(cpu)))
        ended.why = wait_for_end(p, seconds, lambda: stop_early and FAILED.search(log.read_bytes(), begin),
                                 ended)
        return ended
    finally:
        if p.returncode is None:
            os.killpg(p.pid, 9)
            p.wait()


def copy_source(top, to):
    names = tree.tracked() + [n for n in MADE if (top / n).exists()]
    names += [str(p.relative_to(top)) for p in (top / "build-aux").iterdir()]
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(top / name, to / name)


def state(root):
    """Each file below root by name, with what its content is told by."""
    found = {}
    todo = [""]
    while todo:
        under = todo.pop()
        with os.scandir(os.path.join(root, under)) as entries:
            for e in entries:
                name = os.path.join(under, e.name)
                if e.is_dir(follow_symlinks=False):
                    todo.append(name)
                else:
                    st = e.stat(follow_symlinks=False)
                    found[name] = (st.st_mtime_ns, st.st_size)
    return found


class Tree:
    """A built tree."""

    def __init__(self, place, tmp):
        self.place = place
        self.tmp = tmp      # what its tests leave behind
        tmp.mkdir()
        tmp.chmod(0o1777)   # also those that give up root

    def make(self, tests, log, jobs=1):
        """What these tests need."""
        goals = [t for t in tests if not is_script(t)]
        if len(goals) < len(tests):
            goals += HELPERS
            self.make_goals(["all"], log, jobs)     # alone: it calls a make of its own
        self.make_goals(goals, log, jobs)

    def make_goals(self, goals, log, jobs):
        why = run(["make", f"-j{jobs}", *goals], self.place, log).why
        if why is not None:
            raise Broken(f"make {' '.join(goals[:3])}...: {why}; see {log}")

    def run_test(self, name, log, seconds, cpu):
        env = {"POSTHOUSE_TEST_PATIENCE": "20", "POSTHOUSE_TEST_ROUNDS": "2", "MALLOC_PERTURB_": "90",
               **os.environ, "top_srcdir": str(self.place), "top_builddir": str(self.place),
               "PYTHON": sys.executable, "TMPDIR": str(self.tmp)}
        if name.endswith(".py"):
            argv = [sys.executable, "-B", name]
        elif name.endswith(".sh"):
            argv = ["sh", name]
        else:
            argv = ["./" + name]
        return run(argv, self.place, log, seconds, cpu, env, stop_early=not is_script(name))


class Copy(Tree):
    """One to break, beside the base that stays as it is."""

    def __init__(self, base, place, tmp):
        super().__init__(place, tmp)
        self.base = base
        shutil.copytree(base.place, place, symlinks=True)
        makefile, times = place / "Makefile", (base.place / "Makefile").stat()
        # Only the Makefile knows where it is.
        makefile.write_text(makefile.read_text().replace(str(base.place), str(place)))
        os.utime(makefile, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.before = state(place)

    def is_other(self, test):
        """The mutant is in what this test runs: a proof that it was built."""
        programs = (*PROGRAMS, *HELPERS) if is_script(test) else (test,)
        return any(not filecmp.cmp(self.base.place / p, self.place / p, shallow=False) for p in programs)

    def restore(self):
        now = state(self.place)
        for name in now.keys() - self.before.keys():
            (self.place / name).unlink()
        for name, told in self.before.items():
            if now.get(name) != told:
                shutil.copy2(self.base.place / name, self.place / name, follow_symlinks=False)


class Usual:
    """What a test needs when nothing is wrong: it is run once, before its first mutant."""

    def __init__(self, base, test, log):
        self.base, self.test, self.log = base, test, log
        self.lock = threading.Lock()
        self.ended = None

    def get(self):
        """None: it can't run here."""
        with self.lock:
            if self.ended is None:
                self.ended = self.base.run_test(self.test, self.log, 1800, 1800)
        if self.ended.why == f"exit {SKIPPED}":
            return None
        if self.ended.why is not None:
            raise Broken(f"{self.test} fails without any mutant ({self.ended.why}); see {self.log}")
        return self.ended


class Bench:
    """The built copies."""

    def __init__(self, top, work, jobs, tests):
        self.work = work
        base = Tree(work / "base", work / "t")
        copy_source(top, base.place)
        log = work / "build.log"
        configure = ["./configure", "-q", "--disable-hardening", "--enable-fatal-weird", "CFLAGS=-O1"]
        if run(configure, base.place, log).why is not None:
            raise Broken(f"configure fails; see {log}")
        base.make(tests, log, jobs)
        self.usual = {t: Usual(base, t, work / f"{t.replace('/', '-')}.log") for t in tests}
        self.copies = queue.Queue()
        for i in range(jobs):
            self.copies.put(Copy(base, work / f"job{i}", work / f"t{i}"))

    def try_tests(self, copy, mutant, log):
        result, why = "skipped", "no test that it names can run here"
        for test in mutant.test.split():
            usual = self.usual[test].get()
            if usual is None:
                continue
            copy.make([test], log)
            if not copy.is_other(test):
                if result == "skipped":
                    result, why = "survived", "the compiler makes the same of it"
                continue
            result, why = "survived", ""
            # What spins is told by its processor time, also on a busy machine.
            failure = copy.run_test(test, log, 20 + 10 * usual.seconds, 3 + 3 * usual.cpu).why
            if failure is not None:
                return "killed", f"{test}: {failure}"
        return result, why

    def judge(self, mutant, number):
        """"killed", "survived", "skipped" or "broken", and the test that told, or why."""
        copy = self.copies.get()
        try:
            path = copy.place / mutant.file
            path.write_text(mutant.apply(path.read_text()))
            return self.try_tests(copy, mutant, self.work / f"mutant-{number}.log")
        except Broken as e:
            return "broken", str(e)
        finally:
            copy.restore()
            self.copies.put(copy)

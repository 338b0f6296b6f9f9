# SPDX-License-Identifier: BSD-2-Clause
"""A process of the daemon that was taken over tries to get out, at the tightest sandbox there is.

posthoused-escape (escape.c) is the daemon with attempts in each of its processes, made when it is
set up; it prints what became of them, and goes on. As root the roles have users of their own.
"""

import contextlib
import errno
import os
import re

import lib
from test_guard import ROOT, SANITIZED, VERSION, enter_namespace, relayed
from test_supervisor import expect

FILTERS = not re.search("^  seccomp +no$", VERSION, re.M)
PORTS = lib.landlock() >= 4         # the kernel's Landlock knows them
LONG = int(os.environ.get("POSTHOUSE_TEST_ROUNDS", "10")) >= 50
WORKS = 0
NO = (errno.EPERM, errno.EACCES)

# What is not denied by files' rules or by the filter of calls needs no line here.
FILES = {
    "intake": {"password": NO, "queued_mail": NO, "state_dir": NO, "passwd": NO, "a_program": NO,
               "temporary": NO, "memory_file": NO},
    "relay": {"password": NO, "queued_mail": WORKS, "state_dir": NO, "passwd": WORKS, "a_program": NO,
              "temporary": NO, "memory_file": NO, "look_up": WORKS, "connect_out": WORKS},
}
CALLS = {
    "intake": {name: (errno.EPERM,) for name in (
        "connect_out", "control_socket", "new_listener", "unbound_listener", "raw_socket", "kill_victim", "pidfd",
        "dumpable", "memory_as_file", "other_thread", "core_limit", "writable_code", "new_process")},
    "relay": {name: (errno.EPERM,) for name in (
        "unbound_listener", "raw_socket", "kill_victim", "pidfd", "dumpable", "memory_as_file", "other_thread",
        "core_limit", "writable_code", "new_process")},
    "supervisor": {name: (errno.EPERM,) for name in ("trace", "namespace", "other_memory")},
}
DEADLY = ("execve", "ptrace", "vmread", "setuid", "unshare", "mount")


@contextlib.contextmanager
def escapee(hostname="client.example.com"):
    with relayed("escape", as_root=ROOT, sandbox="required", hostname=hostname) as (sink, p):
        lib.copy_program("posthoused-escape", p.place)
        p.binary = p.place / "posthoused-escape"
        yield sink, p


def attempts(p):
    """(role, attempt) -> errno, of what was said so far."""
    return {(role, name): int(number) for role, name, number in
            re.findall(r"^escape (\w+) (\w+) (\d+)$", p.process.text(), re.M)}


def check(got, wanted):
    wrong = []
    for role, rules in wanted.items():
        for name, want in rules.items():
            number = got.get((role, name))
            good = number == want if want == WORKS else number in want
            if not good:
                wrong.append(f"{role} {name}: {'not tried' if number is None else errno.errorcode.get(number, 'it worked')}")
    expect(not wrong, f"{wrong}")


def levels(p):
    return dict(re.findall(r'sandbox role=(\w+) level="?([^"\n]*)"?', p.process.text()))


def test_what_is_refused():
    with escapee() as (sink, p):
        p.start()
        print(f"     {levels(p)}", flush=True)
        p.submit()
        sink.wait_received(1)       # all that they need works
        got = attempts(p)
        check(got, FILES)
        if FILTERS:
            check(got, CALLS)
            expect(levels(p)["intake"].startswith("seccomp landlock-"), f"{levels(p)}")
            expect(levels(p)["relay"].startswith("seccomp landlock-"), f"{levels(p)}")
        if PORTS:
            check(got, {"relay": {"new_listener": NO}})
        print(f"     {len(got)} attempts in three roles", flush=True)
        p.stop()


def test_what_kills():
    """These are made by an attack only: the process ends, and another one takes its place."""
    if not FILTERS:
        return print("     (built without seccomp: test_what_kills is skipped)")
    for role in ("intake", "relay"):
        for word in DEADLY if LONG else DEADLY[:3]:
            with escapee(f"try-{word}-{role}.example.com") as (_, p):
                p.start(ready=False)
                line = p.process.wait_line(rf"role-ended role={role} ")
                expect(" signal=31 " in line, f"{word}: {line}")
                expect(not [a for a in attempts(p) if a[0] == role], f"{attempts(p)}")
                p.process.kill()


if __name__ == "__main__":
    if SANITIZED:
        lib.skip("a sanitizer build has only a part of the sandbox")
    if lib.landlock() < 1:
        lib.skip("this kernel has no Landlock")
    enter_namespace()
    lib.run_tests(globals())

# SPDX-License-Identifier: BSD-2-Clause
"""kill -9 of each role and of all, at random moments under load.

What was answered with 250 arrives whole. What arrives twice is traced, copy by
copy, to one kill of relay and one reason (repeats.py).
"""

import collections
import os
import random
import select
import signal
import smtplib
import threading
import time

import lib
import repeats

ROUNDS = int(os.environ.get("POSTHOUSE_TEST_ROUNDS", "10"))
SEED = int(os.environ.get("POSTHOUSE_TEST_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
CLIENTS = 6
CONNECTIONS = 4


class Load:
    """Clients that send one message after another and note which were acknowledged."""

    def __init__(self, posthouse):
        self.posthouse = posthouse
        self.acknowledged = []
        self.changed = threading.Condition()
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        for t in self.threads:
            t.start()

    def _run(self):
        client = None
        while not self.ending.is_set():
            token = lib.new_token("k")
            try:
                if client is None:
                    client = self.posthouse.client()
                self.posthouse.submit(token, client=client, body=lib.message(token, size=2000))
            except (OSError, smtplib.SMTPException, lib.Failure):
                client = None               # killed, restarting, or 451: not acknowledged
                self.ending.wait(0.02)      # between two attempts to connect
                continue
            with self.changed:
                self.acknowledged.append(token)
                self.changed.notify_all()

    def wait_more(self, count):
        """Until count more messages were acknowledged."""
        with self.changed:
            goal = len(self.acknowledged) + count
            if not self.changed.wait_for(lambda: len(self.acknowledged) >= goal, lib.PATIENCE):
                raise lib.Failure(f"mail stopped; posthoused said:\n"
                                  f"{self.posthouse.process.text()[-6000:]}")

    def end(self):
        self.ending.set()
        for t in self.threads:
            t.join()


class Killer:
    """Kills, and notes what repeats.lives_of() wants to know."""

    def __init__(self, posthouse):
        self.posthouse = posthouse
        self.count = collections.Counter()
        self.logs = [[posthouse.process.lines, 0]]
        self.relay = []
        self.awaited = None     # the role that was killed last, and where the log stood

    def kill(self, victim):
        """Both roles are there: a 250 from before the last kill may have been read after it."""
        if self.awaited:
            role, start = self.awaited
            self.posthouse.process.wait_line(rf"\brole-ready role={role}\b", start)
            self.awaited = None
        supervisor = self.posthouse.process.child.pid
        roles = self.posthouse.roles()
        self.count[victim] += 1
        # Meanwhile no other relay begins, so that the times of death divide their sessions.
        os.kill(supervisor, signal.SIGSTOP)
        os.waitid(os.P_PID, supervisor, os.WSTOPPED)
        before = time.monotonic()
        self._end([roles[r] for r in ("intake", "relay") if victim in (r, "all")])
        if victim != "intake":
            self.relay.append((before, time.monotonic()))
        if victim == "all":
            self.posthouse.kill()
            self.posthouse.start()
            self.logs.append([self.posthouse.process.lines, 0])
        else:
            self.logs[-1][1] += victim == "relay"
            self.awaited = victim, self.posthouse.process.mark()
            os.kill(supervisor, signal.SIGCONT)

    @staticmethod
    def _end(pids):
        ends = [os.pidfd_open(pid) for pid in pids]
        for fd in ends:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        for fd in ends:
            select.select([fd], [], [])
            os.close(fd)


def check_repeats(got, killer):
    """Every one has its kill and its reason."""
    lives = repeats.lives_of(killer.logs, killer.relay)
    found = repeats.find(got, lives)
    print(repeats.table(found, lives))
    unexplained = [r.trace(lives) for r in found if r.reason is None]
    if unexplained:
        raise lib.Failure("unexplained repeats\n" + "\n".join(unexplained))


def test_kill():
    rng = random.Random(SEED)
    print(f"seed {SEED}, {ROUNDS} rounds")
    with lib.world("kill", relay={"connections": CONNECTIONS}) as (sink, posthouse):
        load = Load(posthouse)
        killer = Killer(posthouse)
        try:
            for i in range(ROUNDS):
                load.wait_more(rng.randrange(1, 40))
                load.ending.wait(rng.random() * 0.03)   # any moment, not only just after a 250
                killer.kill(("intake", "relay", "all")[i % 3])
            load.wait_more(20)
        finally:
            load.end()
        acknowledged = set(load.acknowledged)
        seen = {}

        def all_there(_lines):
            for path in (sink.dir / "mail").iterdir():
                if path.name not in seen:
                    seen[path.name] = lib.Received(path).header("X-Token")
            return acknowledged <= set(seen.values())

        sink.wait_until(all_there, "every acknowledged message", 3 * lib.PATIENCE)
        posthouse.stop()
        got = sink.messages()
        for m in got:
            assert lib.is_whole(m, m.header("X-Token")), f"{m.name} is not whole"
        unacknowledged = {m.header("X-Token") for m in got} - acknowledged
        print(f"{len(acknowledged)} acknowledged, all arrived whole; kills: {dict(killer.count)}; "
              f"{len(unacknowledged)} arrived whose client heard no 250")
        check_repeats(got, killer)
        assert len(unacknowledged) <= CLIENTS * ROUNDS, unacknowledged
        for port in sink.ports:
            assert sink.stats(port)["violations"] == 0


lib.run_tests(globals())

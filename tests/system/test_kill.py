# SPDX-License-Identifier: BSD-2-Clause
"""kill -9 of each role and of all, at random moments under load.

What was answered with 250 arrives whole. What arrives twice was on its way when
the relay was killed: it is counted, and is at most the window of sessions per kill.
"""

import collections
import os
import random
import signal
import smtplib
import threading

import lib

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


def kill_role(posthouse, role):
    """Mail was just acknowledged, so both roles are there."""
    os.kill(posthouse.roles()[role], signal.SIGKILL)


def kill_all(posthouse):
    posthouse.kill()
    posthouse.start()


def test_kill():
    rng = random.Random(SEED)
    print(f"seed {SEED}, {ROUNDS} rounds")
    with lib.world("kill", relay={"connections": CONNECTIONS}) as (sink, posthouse):
        load = Load(posthouse)
        kills = collections.Counter()
        try:
            for i in range(ROUNDS):
                load.wait_more(rng.randrange(1, 40))
                victim = ("intake", "relay", "all")[i % 3]
                kills[victim] += 1
                if victim == "all":
                    kill_all(posthouse)
                else:
                    kill_role(posthouse, victim)
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
        times = collections.Counter(m.header("X-Token") for m in got)
        for m in got:
            assert lib.is_whole(m, m.header("X-Token")), f"{m.name} is not whole"
        repeats = {t: n for t, n in times.items() if n > 1}
        unacknowledged = set(times) - acknowledged
        window = CONNECTIONS * (kills["relay"] + kills["all"])
        print(f"{len(acknowledged)} acknowledged, all arrived whole; kills: {dict(kills)}; "
              f"{len(repeats)} repeated (killed between the final dot and its record, "
              f"at most {window}); {len(unacknowledged)} arrived whose client heard no 250")
        assert sum(n - 1 for n in repeats.values()) <= window, repeats
        assert len(unacknowledged) <= CLIENTS * ROUNDS, unacknowledged
        for port in sink.ports:
            assert sink.stats(port)["violations"] == 0


lib.run_tests(globals())

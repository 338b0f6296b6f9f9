#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""make bench-scale: a queue of a million messages, filled, started on cold, drained.

Figures are printed with the target of each, where there is one; README says how it works.
"""

import argparse
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import lib  # noqa: E402

SIZE = 4096
SEVERAL = [{"to": "*@nowhere.example", "relays": ["main"]}, {"relays": ["main"]}]      # routes


class Daemon(lib.Daemon):
    """Its log goes into a file: a million lines are too many to keep here."""

    def __init__(self, place, sink, certs, **options):
        self.log_path = pathlib.Path(place) / "posthoused.log"
        super().__init__(place, sink, certs, endpoints=("587",),
                         wrapper=("sh", "-c", f'exec "$0" "$@" >>{self.log_path} 2>&1'),
                         queue={"bytes_max": "1T", "messages_max": 10000000},
                         relay={"connections": 10, "messages_per_connection": 1000}, **options)

    def write_config(self):
        self.log_path.touch()
        self.log_path.chmod(0o666)
        super().write_config()

    def logged(self, pattern):
        """All lines so far that the pattern is found in."""
        want = re.compile(pattern)
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return [line for line in f if want.search(line)]

    def pids(self):
        return [self.process.child.pid, *self.roles().values()]


class Watch(threading.Thread):
    """Looks at memory and descriptors of the daemon until it is told to stop."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.watched = daemon
        self.pss_peak = self.fds_peak = 0
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.05):
            with contextlib.suppress(OSError, KeyError):
                self.pss_peak = max(self.pss_peak, pss(self.watched))
                self.fds_peak = max(self.fds_peak, descriptors(self.watched))

    def stop(self):
        self.over.set()
        self.join()
        return self


def pss(daemon, field="Pss"):
    """Of all processes, in bytes."""
    total = 0
    for pid in daemon.pids():
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.search(rf"^{field}:\s+(\d+)", text, re.M).group(1)) * 1024
    return total


def own_memory(daemon):
    """What no other program shares, nor has a part in."""
    return pss(daemon, "Private_Dirty")


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.roles()['relay']}/fd"))


def bytes_read(daemon):
    """By relay so far, from page cache or disk."""
    text = pathlib.Path(f"/proc/{daemon.roles()['relay']}/io").read_text()
    return int(re.search(r"rchar: (\d+)", text).group(1))


def can_look():
    """The roles can't be looked at but by root."""
    return os.geteuid() == 0


def drop_page_cache():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("1")


def fill(daemon, count):
    """With the daemon stopped. Seconds that it took."""
    begin = time.monotonic()
    lib.copy_program("tests/scale/fill", daemon.bin)
    subprocess.run([daemon.bin / "fill", daemon.place / "state/spool", str(count), str(SIZE)], check=True,
                   stdout=subprocess.PIPE, **daemon._as_user())
    return time.monotonic() - begin


def wait_for(condition, what, timeout=lib.PATIENCE * 10, pause=0.01):
    """What has no line to wait for: counters."""
    begin, never = time.monotonic(), threading.Event()
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() - begin > timeout:
            raise lib.Failure(f"waited for {what}: too late")
        never.wait(pause)


def received(sink):
    return sink.stats("587")["received"]


def queued(daemon):
    """-1 while it is not known."""
    status = daemon.ctl("status")
    return -1 if status["spool"]["recovering"] else status["queue"]["messages"]


def delivered_ids(daemon):
    found = (re.search(r"\bid=([0-9a-f]{16})\b", line) for line in daemon.logged(r"\bdelivered\b.*\bid="))
    return [m.group(1) for m in found if m]


def displacement(ids):
    """How many places they are away from their place in order, the mean: a slow session moves few."""
    place = {one: i for i, one in enumerate(sorted(ids))}
    return sum(abs(place[one] - i) for i, one in enumerate(ids)) / max(len(ids), 1)


def drain(daemon, sink, count):
    """Messages a second, from the first that is received to the last."""
    before = received(sink)
    sink.set("587", "listen", "open")
    first = wait_for(lambda: received(sink) - before, "the first message")
    begin = time.monotonic()
    wait_for(lambda: received(sink) - before >= count, "all messages", timeout=lib.PATIENCE * 60, pause=0.05)
    return (count - first) / max(time.monotonic() - begin, 0.001)


@contextlib.contextmanager
def world(name, **options):
    with lib.workplace(name) as place:
        certs = lib.make_certs(place / "certs")
        sink = lib.Sink(place / "sink", certs, extra=["--discard"])
        daemon = None
        try:
            daemon = Daemon(place, sink, certs, **options)
            yield sink, daemon
        finally:
            if daemon:
                daemon.kill()
            sink.kill()


def refuse_all(sink):
    for port in sink.ports:
        sink.set(port, "listen", "refuse")


def measure(count, drained, small, say, **options):
    """
    All figures by name; say(name, value, target) as they come. Of the large queue so many
    are drained; small: the queue that its rate is compared with.
    """
    figures = {}
    drained = min(drained, count + 1)

    def note(name, value, target=""):
        figures[name] = value
        say(name, value, target)

    with world("scale", **options) as (sink, daemon):
        refuse_all(sink)
        daemon.stop()
        fill(daemon, small)
        daemon.start()
        daemon.submit(lib.new_token())
        small = wait_for(lambda: queued(daemon) == small + 1 and small + 1, "the small queue")
        little = own_memory(daemon) if can_look() else 0
        note("drained a second, small queue", drain(daemon, sink, small))
        daemon.stop()
        refuse_all(sink)
        note("seconds to fill", fill(daemon, count))
        if can_look():
            drop_page_cache()
        begin = time.monotonic()
        daemon.start()
        watch = Watch(daemon) if can_look() else None
        daemon.submit(lib.new_token())
        note("seconds to the first 250, smarthost unreachable", time.monotonic() - begin, "0.2 s")
        wait_for(lambda: queued(daemon) == count + 1, "the whole queue")
        note("seconds until the whole queue is known", time.monotonic() - begin, "10 s")
        if "routes" in options:
            wait_for(lambda: sum(r["waiting"] for r in daemon.ctl("status")["routes"]) == count + 1, "the routes")
            note("seconds until the routes of all are known", time.monotonic() - begin, "a minute")
        if watch:
            note("bytes read for a message", bytes_read(daemon) / count)
            note("PSS in MiB, queue known", pss(daemon) / 2**20, "140 MiB with 1,000,000")
            note("PSS in MiB, peak", max(watch.stop().pss_peak, pss(daemon)) / 2**20, "10 % more")
            note("bytes of memory for a message", (own_memory(daemon) - little) / (count - small), "128")
            note("descriptors of relay", watch.fds_peak, "bounded")
        daemon.kill()
        sink.set("587", "listen", "open")
        before = received(sink)
        if can_look():
            drop_page_cache()
        begin = time.monotonic()
        daemon.start()
        watch = Watch(daemon) if can_look() else None
        wait_for(lambda: received(sink) > before, "the first message", pause=0.005)
        note("seconds to the first delivery, after kill -9", time.monotonic() - begin, "2 s")
        first, begin = received(sink) - before, time.monotonic()
        wait_for(lambda: received(sink) - before >= drained, "all", timeout=lib.PATIENCE * 60, pause=0.05)
        note("drained a second, large queue", (drained - first) / (time.monotonic() - begin), "as a small one")
        if watch:
            note("PSS in MiB, peak while draining", watch.stop().pss_peak / 2**20)
            note("descriptors of relay while draining", watch.fds_peak, "bounded")
        if drained < count:
            refuse_all(sink)
        else:
            wait_for(lambda: queued(daemon) == 0, "the end")
            if can_look():
                note("PSS in MiB, drained", pss(daemon) / 2**20)
        daemon.stop()
        ids = delivered_ids(daemon)[small:]
        # What came in last goes out last.
        note("mean distance from the place in order", displacement(ids[:drained - 1]), "the messages under way")
        note("sent twice", len(ids) - len(set(ids)), "0")
        note("delivered", len(ids))
        daemon.start()
        wait_for(lambda: queued(daemon) >= 0, "the rest")
        note("lost", count + 1 - len(set(ids)) - queued(daemon), "0")
    return figures


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=1000000)
    options.add_argument("--drain", type=int, default=0, metavar="N", help="so many of them; default: all")
    options.add_argument("--routes", action="store_true", help="several, so that each envelope is read")
    given = options.parse_args()
    count = given.messages
    print(f"{count} messages of {SIZE} bytes", flush=True)

    def say(name, value, target):
        text = f"{value:.2f}" if isinstance(value, float) else str(value)
        print(f"{name:52} {text:>12}  {target}", flush=True)

    measure(count, given.drain or count + 1, 5000, say, **({"routes": SEVERAL} if given.routes else {}))


if __name__ == "__main__":
    main()

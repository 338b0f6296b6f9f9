# SPDX-License-Identifier: BSD-2-Clause
"""Alarms of the running daemon: the hook command is run once for each edge, whatever happens
in between, and a bad one harms nothing."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess

import lib

HOOK = """#!/bin/sh
# One line for each call: the fixed words, then what is on standard input.
printf '%s|%s|%s|%s|' "$2" "$POSTHOUSE_EVENT" "$POSTHOUSE_STATE" "$POSTHOUSE_RELAY" >> "$1"
cat >> "$1"
echo noted
"""


def expect(truth, what):
    if not truth:
        raise lib.Failure(what)


class Hook:
    """The script, put into the configuration of a running daemon, and what it was told."""

    def __init__(self, posthouse, text=HOOK):
        self.script = posthouse.place / "hook"
        self.script.write_text(text)
        self.script.chmod(0o755)
        self.out = posthouse.place / "hooked"
        self.out.touch()
        self.out.chmod(0o666)
        posthouse.settings["hook"] = [str(self.script), str(self.out), "a b"]
        reload(posthouse)

    def calls(self):
        found = []
        for line in self.out.read_text().split("\n")[:-1]:
            word, event, state, relay, text = line.split("|", 4)
            told = json.loads(text)
            expect(word == "a b" and told["event"] == event and told["state"] == state
                   and told["relay"] == relay and told["host"] == "client.example.com", line)
            found.append((event, relay, told["text"]))
        return found


def reload(posthouse):
    posthouse.write_config()
    mark = posthouse.process.mark()
    posthouse.process.child.send_signal(signal.SIGHUP)
    posthouse.process.wait_line(r"\breloaded\b", mark)


def wait_event(posthouse, event, mark):
    posthouse.process.wait_line(rf"\bhook event={event} took_ms=\d+ said=\"?noted", mark)


def status_lines(posthouse):
    """All that systemd was told up to now."""
    posthouse.notify.setblocking(False)
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found += posthouse.notify.recv(4096).decode().split("\n")
    return [line for line in found if line.startswith("STATUS=")]


def wait_status(posthouse, pattern):
    """Reads all the time: the socket takes a few lines only, and more are lost."""
    lib_wait(lambda: any(re.match(pattern, line) for line in status_lines(posthouse)), pattern)


def cut_off(sink):
    sink.refuse_all()
    for port in sink.ports:
        sink.cut(port)


def test_each_edge_once():
    with lib.world("hook", alarm_hold="1s") as (sink, posthouse):
        log = posthouse.process
        hook = Hook(posthouse)
        posthouse.submit(lib.new_token())
        sink.wait_received(1)
        expect(hook.calls() == [], hook.calls())

        mark = log.mark()
        status_lines(posthouse)
        cut_off(sink)
        posthouse.submit(lib.new_token())
        wait_status(posthouse, r"STATUS=\d+ messages queued; no relay is usable; alarm: relay-down main;")
        log.wait_line(r"\balarm alarm=relay-down relay=main ", mark)
        wait_event(posthouse, "relay-down", mark)
        alarms = posthouse.ctl("status")["alarms"]
        expect([(a["alarm"], a["relay"]) for a in alarms] == [("relay-down", "main")], alarms)
        expect(re.match(r"no port of localhost is usable: \d+ down", alarms[0]["text"]), alarms)

        # Relay dies and is started again; it raises the alarm anew, and nobody is told twice.
        mark = log.mark()
        os.kill(posthouse.roles()["relay"], signal.SIGKILL)
        log.wait_line(r"\balarm alarm=relay-down ", mark)
        # So it is with a reload, and the log has it from the relay before.
        mark = log.mark()
        status_lines(posthouse)
        reload(posthouse)
        wait_status(posthouse, r"STATUS=\d+ messages queued; no relay is usable; alarm: relay-down main;")
        expect(not re.search(r"\balarm alarm=relay-down", log.text(mark)), "an alarm is logged again")
        expect([c[:2] for c in hook.calls()] == [("relay-down", "main")], hook.calls())

        mark = log.mark()
        sink.reset_all()
        posthouse.ctl("unblock")
        sink.wait_received(2)
        log.wait_line(r"\balarm-over alarm=relay-down ", mark)
        wait_event(posthouse, "relay-up", mark)
        calls = hook.calls()
        expect([c[:2] for c in calls] == [("relay-down", "main"), ("relay-up", "main")], calls)
        expect(calls[0][2].startswith("no port of localhost is usable: "), calls)
        expect(posthouse.ctl("status")["alarms"] == [], "still active")

        # Each message so far had a session of its own, so that a way was chosen.
        changes = posthouse.ctl("failover")
        expect(set(changes) == {"changes", "total", "begins"}, changes)
        posthouse.stop()


def check(posthouse):
    """What posthoused -t says."""
    run = subprocess.run([posthouse.bin / "posthoused", "-c", posthouse.config, "-t"], capture_output=True,
                         text=True, timeout=lib.PATIENCE, **posthouse._as_user())
    return run.returncode, run.stdout + run.stderr


def test_the_check_reads_the_first_line():
    with lib.world("hook-line") as (_, posthouse):
        script = posthouse.place / "hook"
        script.touch()
        script.chmod(0o755)
        posthouse.settings["hook"] = [str(script)]
        posthouse.write_config()
        for line, bad in (("/usr/bin/env nosuch", "nosuch"), ("/usr/bin/env -S nosuch -q", "nosuch"),
                          ("/nosuch/sh", "/nosuch/sh"), ("/usr/bin/env", "no program"),
                          ("/usr/bin/env sh", None), ("/usr/bin/env -S sh -u", None),
                          ("/usr/bin/env X=1 sh", None), ("/bin/sh -u", None)):
            script.write_text(f"#!{line}\nexit 0\n")
            code, said = check(posthouse)
            expect(code == (78 if bad else 0) and (not bad or f"first line names {bad}" in said), (line, said))


def test_a_bad_hook_harms_nothing():
    with lib.world("hook-bad", alarm_hold="1s") as (sink, posthouse):
        log = posthouse.process
        hook = Hook(posthouse, "#!/bin/sh\necho what a pity >&2\nexit 7\n")
        mark = log.mark()
        cut_off(sink)
        posthouse.submit(lib.new_token())
        log.wait_line(r"hook-failed event=relay-down .*\(exit status 7\).*said=\"what a pity\"", mark)
        hook.script.unlink()
        code, said = check(posthouse)
        expect(code == 78 and f"hook {hook.script}: No such file" in said, said)
        mark = log.mark()
        sink.reset_all()
        posthouse.ctl("unblock")
        sink.wait_received(1)
        log.wait_line(r"hook-failed event=relay-up .*can't be run", mark)
        # One that does not end is ended with the daemon, however that ends.
        for end in (posthouse.kill, posthouse.stop):
            hook = Hook(posthouse, "#!/bin/sh\nsetsid sleep 3600 & echo $! $$ > $1; wait\n")
            cut_off(sink)
            posthouse.submit(lib.new_token())
            lib_wait(lambda: re.fullmatch(r"\d+ \d+\n", hook.out.read_text()), "the hook's processes")
            end()
            for pid in hook.out.read_text().split():
                lib_wait(lambda: not alive(pid), f"process {pid} of the hook to end")
            if end == posthouse.kill:
                sink.reset_all()
                posthouse.start()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):     # gone before the open, or behind it
        return False


def lib_wait(condition, what):
    """For what nobody announces."""
    server, client = socket.socketpair()
    with server, client:
        server.settimeout(0.02)
        for _ in range(int(lib.PATIENCE / 0.02)):
            if condition():
                return
            with contextlib.suppress(TimeoutError):
                server.recv(1)
    raise lib.Failure(f"waited for {what}: too late")


if __name__ == "__main__":
    lib.run_tests(globals())

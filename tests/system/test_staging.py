#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Staging: nothing leaves the host, what came is kept, and everybody is told so."""

import datetime
import os
import subprocess

import lib
from lib import Failure

NOTICE = "STAGING: NO MAIL LEAVES THIS HOST"


def expect(condition, what):
    if not condition:
        raise Failure(what)


def text(posthouse, *words):
    return subprocess.run([posthouse.bin / "posthousectl", "-c", posthouse.config, *words],
                          capture_output=True, check=True, text=True, **posthouse._as_user()).stdout


def stage(posthouse, mode):
    mark = posthouse.process.mark()
    posthouse.settings["staging"] = mode
    posthouse.write_config()
    posthouse.ctl("reload")
    posthouse.process.wait_line(r"\breloaded\b", mark)


def expect_told(posthouse, mode, number):
    status = posthouse.ctl("status")
    expect(status["staging"] == mode and status["warnings"][0]["warning"].startswith(NOTICE), f"{status}")
    lines = text(posthouse, "status").splitlines()
    expect(lines[0] == "WARNING" and lines[1].startswith(NOTICE), f"status begins with {lines[:2]}")
    expect(text(posthouse, "queue").startswith(NOTICE), "queue does not begin with it")
    expect(text(posthouse, "explain", number).startswith(NOTICE), "explain does not begin with it")
    expect(posthouse.ctl("queue")["staging"] == mode and posthouse.ctl("explain", number)["staging"] == mode,
           "JSON lacks it")
    refused = subprocess.run([posthouse.bin / "posthousectl", "-c", posthouse.config, "probe"], check=False,
                             capture_output=True, text=True, **posthouse._as_user())
    expect(refused.returncode != 0 and "staging is on" in refused.stderr, f"probe: {refused}")


def expect_no_connection(sink):
    for port in sink.ports:
        stats = sink.stats(port)
        expect(stats["sessions"] == 0, f"port {port}: {stats}")


def test_hold():
    with lib.world("hold", staging="hold", queue={"expire": "1s"}) as (sink, posthouse):
        posthouse.process.wait_line(r"<4>.*\bstaging reason=.*" + NOTICE)
        tokens = [lib.new_token() for _ in range(3)]
        numbers = [posthouse.submit(token) for token in tokens]
        expect_told(posthouse, "hold", numbers[0])
        expect(posthouse.ctl("explain", numbers[0])["why"].startswith(NOTICE), "explain has another reason")
        posthouse.ctl("flush")
        posthouse.kill()            # a new start holds it, too
        posthouse.start()
        posthouse.process.wait_line(r"\brecovered\b")
        expect(len(posthouse.ctl("queue")["messages"]) == 3, "mail is missing")
        posthouse.ctl("flush")
        expect_no_connection(sink)
        posthouse.settings["queue"]["expire"] = "1d"
        stage(posthouse, "off")
        expect(posthouse.ctl("status")["warnings"] == [], "the notice is still there")
        sink.wait_received(3)
        expect(sorted(m.header("X-Token") for m in sink.messages()) == sorted(tokens), "not all came")
        posthouse.stop()


def maildir(posthouse, inner="new"):
    return sorted((posthouse.place / "state/sink" / inner).iterdir())


def wait_sunk(posthouse, number, mark=0):
    posthouse.process.wait_line(rf"\bsunk id={number}\b", mark)


def test_sink():
    with lib.world("sunk", staging="sink") as (sink, posthouse):
        small, large = lib.new_token(), lib.new_token()
        first = posthouse.submit(small, to=("bob@example.net", "carol@example.net"), sender="")
        wait_sunk(posthouse, first)
        expect_told(posthouse, "sink", first)
        (path,) = maildir(posthouse)
        head, _, body = path.read_bytes().partition(b"\n\n")
        expect(head.startswith(b"Return-Path: <>\nDelivered-To: bob@example.net\n"
                               b"Delivered-To: carol@example.net\nX-Posthouse-Id: " + first.encode() + b"\n"), f"{head}")
        expect(body.startswith(f"begin {small}\n".encode()) and body.endswith(f"end {small}\n".encode()),
               f"{body}")
        second = posthouse.submit(large, body=lib.message(large, size=3 << 20))
        wait_sunk(posthouse, second)
        path = next(p for p in maildir(posthouse) if second in p.name)
        want = lib.message(large, size=3 << 20).replace(b"\r\n", b"\n").partition(b"\n\n")[2]
        expect(path.read_bytes().partition(b"\n\n")[2] == want, "the text is another one")
        expect(path.stat().st_mode & 0o077 == 0, "others may read it")
        status = posthouse.ctl("status")
        expect(status["queue"]["messages"] == 0 and status["since_start"]["recipients"]["sunk"] == 3, f"{status}")
        story = posthouse.ctl("explain", second)["history"]
        expect(any(e["event"] == "sunk" and second in e["what"] for e in story), f"{story}")
        expect(maildir(posthouse, "tmp") == [], "something is left in tmp")
        expect_no_connection(sink)
        posthouse.stop()


def test_what_a_crash_left_is_written_over():
    with lib.world("sink-again", staging="hold") as (sink, posthouse):
        token = lib.new_token()
        number = posthouse.submit(token)
        received = posthouse.ctl("queue")["messages"][0]["received"]
        seconds = int(datetime.datetime.fromisoformat(received.replace("Z", "+00:00")).timestamp())
        folder = posthouse.place / "state/sink"
        for inner in ("", "new", "tmp"):
            (folder / inner).mkdir(mode=0o700)
            if inner:
                (folder / inner / f"{seconds}.{number}.posthouse").write_text("half of it")
        if os.getuid() == 0:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, lib.ORDINARY, lib.ORDINARY)
        stage(posthouse, "sink")
        wait_sunk(posthouse, number)
        (path,) = maildir(posthouse)
        expect(path.read_bytes().endswith(f"end {token}\n".encode()), "it was not written over")
        expect(maildir(posthouse, "tmp") == [], "something is left in tmp")
        expect_no_connection(sink)
        posthouse.stop()


def test_a_sink_that_fails():
    with lib.world("sink-fails", staging="sink") as (sink, posthouse):
        folder = posthouse.place / "state/sink/new"
        folder.chmod(0o500)
        number = posthouse.submit(lib.new_token())
        posthouse.process.wait_line(r"<3>.*\bsink-failed\b")
        expect([m["id"] for m in posthouse.ctl("queue")["messages"]] == [number], "it has left the queue")
        expect(maildir(posthouse) == [], "something was written")
        folder.chmod(0o700)
        wait_sunk(posthouse, number)
        posthouse.process.wait_line(r"\bsink-ok\b")
        expect(len(maildir(posthouse)) == 1 and maildir(posthouse, "tmp") == [], "it is not there once")
        expect(posthouse.process.text().count("sink-failed") == 1, "it is said again and again")

        # One that can't be opened at all leaves the old configuration in force.
        mark = posthouse.process.mark()
        posthouse.settings["sink"] = "/proc/sink"
        posthouse.write_config()
        posthouse.process.child.send_signal(1)
        posthouse.process.wait_line(r"\breload-refused .*Maildir /proc/sink", mark)
        wait_sunk(posthouse, posthouse.submit(lib.new_token()))
        expect_no_connection(sink)
        posthouse.stop()


if __name__ == "__main__":
    lib.run_tests(globals())

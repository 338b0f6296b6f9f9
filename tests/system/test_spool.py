# SPDX-License-Identifier: BSD-2-Clause
"""The spool through the real programs: restarts, backlog, damage, holds, removal, bounces."""

import collections
import email
import fcntl
import os
import re
import signal
import subprocess

import lib

SMALL = {"segment_size": "1M", "free_min": "0"}


def accept_all(sink, posthouse):
    sink.reset_all()
    posthouse.ctl("probe")


def restart(posthouse, kill):
    """Returns when all of the queue is known again."""
    if kill:
        posthouse.process.kill()
    else:
        posthouse.stop()
    posthouse.start()
    posthouse.process.wait_line(r"\brecovered\b")


def spool_dir(posthouse):
    [log] = posthouse.place.glob("state/**/log")
    return log.parent


def disk_use(posthouse):
    return sum(p.stat().st_blocks * 512 for p in spool_dir(posthouse).rglob("*") if p.is_file())


def queue(posthouse):
    return {m["id"]: m for m in posthouse.ctl("queue")["messages"]}


def test_restarts():
    """Start after start behind a held message: it stays held, and the disk does not fill."""
    with lib.world("spool-restarts", queue=SMALL, before=lib.Sink.refuse_all) as (sink, posthouse):
        token = lib.new_token("r")
        held = posthouse.submit(token)
        posthouse.ctl("hold", held)
        for i in range(20):
            restart(posthouse, kill=i % 4 != 0)
        assert list(queue(posthouse)) == [held]
        assert queue(posthouse)[held]["state"] == "held"
        assert disk_use(posthouse) < 4 << 20, disk_use(posthouse)
        accept_all(sink, posthouse)
        posthouse.ctl("flush")
        restart(posthouse, kill=True)
        assert sink.messages() == [], "a held message was sent"
        posthouse.ctl("release", held)
        sink.wait_received(1)
        posthouse.stop()
        assert [m.header("X-Token") for m in sink.messages()] == [token]


def test_backlog():
    """A queue of mixed sizes, killed: all of it is back, once, and leaves oldest first."""
    with lib.world("spool-backlog", queue=SMALL, before=lib.Sink.refuse_all,
                   relay={"connections": 1}) as (sink, posthouse):
        tokens = []
        with posthouse.client() as client:
            for i in range(150):
                token = lib.new_token("b")
                body = lib.message(token, size=(0, 5000, 90000, 300000)[i % 4 if i % 10 else 3])
                posthouse.submit(token, client=client, body=body)
                tokens.append(token)
        restart(posthouse, kill=True)
        assert posthouse.ctl("status")["queue"]["messages"] == len(tokens)
        accept_all(sink, posthouse)
        sink.wait_received(len(tokens))
        posthouse.stop()
        got = sink.messages()
        assert [m.header("X-Token") for m in got] == tokens, "not once, or not in order"
        for m in got:
            assert lib.is_whole(m, m.header("X-Token"))


def test_stop_while_recovering():
    """Stops that come before the queue is read lose nothing of it."""
    with lib.world("spool-stops", before=lib.Sink.refuse_all) as (sink, posthouse):
        tokens = {lib.new_token("s") for _ in range(20)}
        for token in sorted(tokens):
            posthouse.submit(token, body=lib.message(token, size=400000))
        for _ in range(5):
            posthouse.stop()
            posthouse.start()           # ready before the queue is read
        posthouse.process.wait_line(r"\brecovered\b")
        accept_all(sink, posthouse)
        sink.wait_received(len(tokens))
        posthouse.stop()
        assert collections.Counter(m.header("X-Token") for m in sink.messages()) == \
            collections.Counter(tokens)


def test_damaged():
    """A damaged message is held, seen and copied aside with a note; the others go."""
    with lib.world("spool-damaged", before=lib.Sink.refuse_all) as (sink, posthouse):
        bad, good = lib.new_token("d"), lib.new_token("d")
        damaged = posthouse.submit(bad, body=lib.message(bad, size=200000))
        posthouse.submit(good)
        posthouse.process.kill()
        [path] = [p for p in (spool_dir(posthouse) / "log").iterdir() if bad.encode() in p.read_bytes()]
        with path.open("r+b") as f:
            content = f.read()
            f.seek(content.index(b"begin " + bad.encode()))
            f.write(b"BEGIN")
        posthouse.start()
        posthouse.process.wait_line(r"\brecovered\b")
        accept_all(sink, posthouse)
        sink.wait_received(1)
        assert [m.header("X-Token") for m in sink.messages()] == [good]
        row = queue(posthouse)[damaged]
        assert row["state"] == "damaged" and "quarantine" in row["reason"], row
        # The copy is made after the message is held.
        if not any(posthouse.ctl("status")["spool"]["quarantined"] for _ in range(1000)):
            raise lib.Failure("nothing is in quarantine")
        aside = spool_dir(posthouse) / "quarantine"
        for _ in range(300):            # it is told of before the copy is complete
            if posthouse.ctl("status")["spool"]["quarantined"] >= 2:
                break
        assert bad.encode() in (aside / f"message-{damaged}.bin").read_bytes()
        assert "check" in (aside / f"message-{damaged}.why").read_text()
        posthouse.ctl("remove", damaged)
        restart(posthouse, kill=False)
        assert queue(posthouse) == {}


def test_one_owner():
    """A second daemon on the same spool says who has it, and the first goes on."""
    with lib.world("spool-owner") as (sink, posthouse):
        other = posthouse.place / "other.conf"
        port = lib.HeldPort()
        text = posthouse.config.read_text().replace(str(posthouse.port.number), str(port.number))
        run = posthouse.place / "run2"
        run.mkdir()
        run.chmod(0o777)
        other.write_text(text.replace(str(posthouse.place / "run"), str(run)))
        second = lib.Process([posthouse.bin / "posthoused", "-c", other], "second", merge=True,
                             stdin=subprocess.DEVNULL, **posthouse._as_user())
        try:
            second.wait_line(rf"another posthoused \(pid {posthouse.process.child.pid}\)")
        finally:
            second.kill()
        posthouse.submit(lib.new_token("o"))
        sink.wait_received(1)
        posthouse.stop()


def other_process(posthouse):
    """A posthoused that has this spool by another way, as its lock shows it."""
    lock = (spool_dir(posthouse) / "LOCK").open("r+")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def begin(posthouse):
    """The daemon on its way, ready or not."""
    return lib.Process([posthouse.bin / "posthoused", "-c", posthouse.config], "posthoused", merge=True,
                       stdin=subprocess.DEVNULL, **posthouse._as_user())


def test_spool_in_use():
    """The lock of the spool itself: it is said who has it, and it is waited for."""
    with lib.world("spool-in-use") as (sink, posthouse):
        posthouse.stop()
        lock = other_process(posthouse)
        daemon = begin(posthouse)
        try:
            line = daemon.wait_line(r"start-failed.*the spool is in use")
            assert f"LOCK is held by process {os.getpid()}." in line and "waited for" in line, line
            lock.close()
            daemon.wait_line(r"\bready\b.*mail is accepted")
            posthouse.submit(lib.new_token("i"))
        finally:
            daemon.kill()


def crc32c(data, crc=0):
    crc ^= 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def write_later_format(path):
    """The start of this segment, as a later version might write it."""
    text = b"format: 2\nbrave: new world\n"
    head = b"@S %012x%04x %016x %08x %08x " % (0, 0, 0, len(text), crc32c(text))
    with path.open("r+b") as f:
        f.write(head + b"%08x\n" % crc32c(head[:54]) + text)


def test_later_format():
    """A spool of a later version is not touched: the daemon says why and ends with 78."""
    with lib.world("spool-later", before=lib.Sink.refuse_all, queue=SMALL) as (sink, posthouse):
        posthouse.submit(lib.new_token("l"))
        posthouse.stop()
        [segment, *_] = sorted((spool_dir(posthouse) / "log").iterdir())
        write_later_format(segment)
        before = {p: p.read_bytes() for p in spool_dir(posthouse).rglob("*") if p.is_file()}
        daemon = begin(posthouse)
        line = daemon.wait_line(r"start-failed.*the spool has format 2, this program knows 1")
        assert "newer posthouse" in line and "Install that one" in line and "state_dir" in line, line
        assert daemon.wait_exit() == 78, daemon.text()
        assert "mail is accepted" not in daemon.text(), daemon.text()
        assert {p: p.read_bytes() for p in spool_dir(posthouse).rglob("*")
                if p.is_file() and p.name != "LOCK"} == \
            {p: c for p, c in before.items() if p.name != "LOCK"}, "the spool was changed"
        for command in (("check",), ("queue",), ("export", "--mbox", posthouse.place / "box")):
            p = subprocess.run([posthouse.bin / "posthousectl", "-c", posthouse.config, *command],
                               capture_output=True, text=True, **posthouse._as_user())
            assert p.returncode == 78 and "has format 2" in p.stderr, p
        assert not (posthouse.place / "box").exists()


def is_in_memory(path):
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True).stdout
    return kind.strip() in ("tmpfs", "ramfs", "overlayfs")


def test_in_memory():
    """A spool that a reboot takes away: a warning in the log and in status, and nowhere else."""
    with lib.memory_disk("spool-tmpfs", "64m") as disk:
        if disk is None:
            return print("     (SKIP test_in_memory: no mount of its own is permitted)")
        with lib.world("spool-memory", state_dir=str(disk)) as (sink, posthouse):
            line = posthouse.process.wait_line(r"\bspool-volatile\b")
            assert str(disk) in line and "lost with it" in line, line
            assert posthouse.ctl("status")["disk"]["volatile"] is True
            p = subprocess.run([posthouse.bin / "posthousectl", "-c", posthouse.config, "status"],
                               capture_output=True, text=True, **posthouse._as_user())
            assert re.search(r"(?m)^  volatile: +yes$", p.stdout), p.stdout
            posthouse.submit(lib.new_token("m"))
            sink.wait_received(1)
            posthouse.stop()
        with lib.world("spool-disk") as (sink, posthouse):
            if is_in_memory(posthouse.place):
                return print("     (the tests' own directory is in memory: no test of a disk)")
            assert "\ndisk" not in subprocess.run(
                [posthouse.bin / "posthousectl", "-c", posthouse.config, "status"], capture_output=True,
                text=True, **posthouse._as_user()).stdout
            posthouse.stop()
            assert "spool-volatile" not in posthouse.process.text()


def test_killed_after_the_reply():
    """kill -9 between the final dot and the smarthost's reply: one repeat, explained, not more."""
    with lib.world("spool-uncertain", queue={"uncertain": "1s"}) as (sink, posthouse):
        for port in sink.ports:
            sink.fault(port, "dot", "hang", times=1)
        token = lib.new_token("u")
        first = posthouse.submit(token)
        sink.wait_received(1)           # all of it is there, no reply went back
        start = posthouse.process.mark()
        os.kill(posthouse.roles()["relay"], signal.SIGKILL)
        posthouse.process.wait_line(r"\buncertain\b.*stopped-before", start)
        sink.wait_received(2)
        posthouse.process.wait_line(r"\bdelivered\b", start)
        posthouse.submit(lib.new_token("u"))    # its 250 covers the record of the delivery
        restart(posthouse, kill=True)
        assert first not in queue(posthouse)
        posthouse.stop()
        assert [m.header("X-Token") for m in sink.messages()].count(token) == 2


def test_bounce():
    """5xx upstream: a report in three parts to who sent it; a report on the report is not sent."""
    with lib.world("spool-bounce") as (sink, posthouse):
        for port in sink.ports:
            sink.fault(port, "rcpt", 550, match="nobody@*", text="5.1.1 no such user")
        posthouse.submit(lib.new_token("n"), to=("nobody@example.net",), sender="alice@example.org")
        sink.wait_received(1)
        [report] = sink.messages()
        assert report.sender in ("", "<>") and report.to == ["alice@example.org"], vars(report)
        parts = email.message_from_bytes(report.body)
        assert parts.get_content_type() == "multipart/report"
        assert [p.get_content_type() for p in parts.get_payload()][:2] == \
            ["text/plain", "message/delivery-status"]
        status = parts.get_payload(1).as_string()
        assert "nobody@example.net" in status and "Status: 5.1.1" in status, status
        # Now nobody takes the report either.
        for port in sink.ports:
            sink.fault(port, "rcpt", 550, text="5.1.1 no such user")
        start = posthouse.process.mark()
        posthouse.submit(lib.new_token("n"), to=("nobody@example.net",), sender="bob@example.org")
        posthouse.process.wait_line(r"report-dropped.*a-report-and-nobody-else-to-tell", start)
        restart(posthouse, kill=True)
        assert queue(posthouse) == {}
        assert len(sink.messages()) == 1


lib.run_tests(globals())

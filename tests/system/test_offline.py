# SPDX-License-Identifier: BSD-2-Clause
"""posthousectl on a spool without the daemon, and beside it: queue, cat, export, check.
Nothing in the spool is changed, whatever is asked."""

import contextlib
import hashlib
import itertools
import json
import mailbox
import os
import pty
import resource
import signal
import subprocess
import threading
import time

import lib
from test_ctl import as_documented

EX_USAGE, EX_NOINPUT, EX_UNAVAILABLE, EX_CANTCREAT, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG = \
    64, 66, 69, 73, 75, 77, 78
SMALL = {"segment_size": "1M", "free_min": "0"}
HOSTILE = b"From here on\r\n>From there\r\nesc \x1b[2J bell \x07 \xc3\xa9\r\n"


def spool_of(posthouse):
    return posthouse.place / "state/spool"


def picture(posthouse):
    """Every file of the spool with what is in it."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(spool_of(posthouse).rglob("*")) if p.is_file()}


def run(posthouse, *words, **more):
    return subprocess.run([posthouse.bin / "posthousectl", "-c", posthouse.config, *words],
                          capture_output=True, timeout=lib.PATIENCE, stdin=subprocess.DEVNULL,
                          **{**posthouse._as_user(), **more})


def ctl(posthouse, *words, status=0, **more):
    p = run(posthouse, *words, **more)
    assert p.returncode == status, (words, p.returncode, p.stdout[-2000:], p.stderr[-2000:])
    p.stderr = p.stderr.decode()
    return p


def ask(posthouse, *words, status=0):
    answer = json.loads(ctl(posthouse, "--json", *words, status=status).stdout)
    as_documented(next(w for w in words if w in ("queue", "check", "export")), answer)
    return answer


def ask_beside(posthouse, flow, words):
    """As ask(). If the log changes faster than it can be read, mail rests until words() is answered."""
    deadline = time.monotonic() + lib.PATIENCE
    while True:
        now = words()
        p = run(posthouse, "--json", *now)
        if p.returncode != EX_TEMPFAIL or time.monotonic() > deadline:
            break
        flow.clear()
    flow.set()
    assert p.returncode == 0, (now, p.returncode, p.stdout[-2000:], p.stderr[-2000:])
    return json.loads(p.stdout), now


@contextlib.contextmanager
def queued(name, **options):
    """A daemon with three messages that can't leave: id -> the message as stored."""
    with lib.world(name, before=lib.Sink.refuse_all, queue=SMALL, **options) as (sink, posthouse):
        tokens = [lib.new_token("q") for _ in range(3)]
        ids = [posthouse.submit(tokens[0], body=lib.message(tokens[0], size=300000)),
               posthouse.submit(tokens[1], body=lib.message(tokens[1]) + HOSTILE),
               posthouse.submit(tokens[2], to=("bob@example.net", "carol@example.net"))]
        yield sink, posthouse, {i: ctl(posthouse, "cat", i).stdout for i in ids}


def target(posthouse, name):
    """A place that the daemon's user may write to."""
    path = posthouse.place / name
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    return path


def test_looking():
    """queue, cat and check say the same with the daemon, beside it, and after it was killed."""
    with queued("offline-looking") as (sink, posthouse, stored):
        ids = list(stored)
        posthouse.ctl("hold", ids[1])
        with_daemon = posthouse.ctl("queue")
        beside = ask(posthouse, "--spool", spool_of(posthouse), "queue")
        relay = posthouse.roles()["relay"]
        assert beside["daemon"] == relay, (beside["daemon"], relay)
        assert "is at work" in ctl(posthouse, "--spool", spool_of(posthouse), "queue").stderr
        assert ask(posthouse, "check")["daemon"] == relay
        posthouse.kill()
        before = picture(posthouse)
        alone = ask(posthouse, "queue")
        assert alone["daemon"] is None and alone["spool"] == str(spool_of(posthouse))
        same = ("id", "received", "size", "state", "attempts", "from", "recipients", "recipient_count")
        for other in (beside, alone):
            assert [[m[k] for k in same] for m in other["messages"]] == \
                [[m[k] for k in same] for m in with_daemon["messages"]], (other, with_daemon)
            assert (other["shown"], other["total"], other["cut"]) == (3, 3, False)
        assert [m["state"] for m in alone["messages"]] == ["queued", "held", "queued"]
        assert alone["messages"][0]["reason"] == "waits until posthoused runs"
        p = ctl(posthouse, "queue")
        assert "no daemon answers" in p.stderr and "bob@example.net +1" in p.stdout.decode()
        first = ask(posthouse, "--limit", "2", "queue")
        assert [m["id"] for m in first["messages"]] == ids[:2] and first["cut"]
        for i, text in stored.items():
            assert ctl(posthouse, "cat", i).stdout == text
            assert ctl(posthouse, "--spool", spool_of(posthouse), "cat", i, cwd="/").stdout == text
        told = ask(posthouse, "check")
        assert told["whole"] and told["messages"] == 3 and told["faults"] == [], told
        assert told["records"] > 6 and told["bytes"] > 300000 and told["daemon"] is None
        assert picture(posthouse) == before, "the spool was changed"


def test_wrong_use():
    with queued("offline-wrong") as (sink, posthouse, stored):
        one = next(iter(stored))
        spool, box = spool_of(posthouse), posthouse.place / "none"

        def refused(status, sentence, *words, **more):
            p = ctl(posthouse, *words, status=status, **more)
            assert sentence in p.stderr and p.stdout == b"", (words, p.stdout, p.stderr)

        refused(EX_USAGE, 'did you mean "queue"?', "qeue")
        refused(EX_USAGE, 'did you mean "export"?', "exprot")
        refused(EX_USAGE, "posthousectl --help", "frobnicate")
        refused(EX_USAGE, "--maildir DIR and --mbox FILE", "export")
        refused(EX_USAGE, "--maildir DIR and --mbox FILE", "export", "--mbox", box, "--maildir", box)
        refused(EX_USAGE, "are for export", "queue", "--mbox", box)
        refused(EX_USAGE, "asks the daemon", "--spool", spool, "flush")
        refused(1, "is no message id", "export", "--mbox", box, "12345")
        refused(1, "nothing is exported", "export", "--mbox", box, one, "00000000000abcde")
        refused(1, "takes no message id", "check", one)
        refused(EX_NOINPUT, "No such file", "--spool", posthouse.place / "absent", "check")
        refused(EX_NOINPUT, "No such file", "--spool", posthouse.place, "queue")    # no log/ in it
        if os.getuid() == 0:
            refused(EX_NOPERM, "try sudo", "--spool", spool, "check",
                    user=65532, group=65532, extra_groups=[])
        assert not box.exists()
        posthouse.kill()
        for words in (("cat",), ("cat", one, one), ("cat", "all")):
            ctl(posthouse, *words, status=1)
        refused(1, "is not in the queue", "cat", "00000000000abcde")
        refused(64, "--limit needs a number", "--limit", "0", "queue")
        refused(EX_UNAVAILABLE, "is posthouse running", "flush")


# --- export --------------------------------------------------------------------

def head_and_text(content):
    """Our own lines in front, and the rest."""
    own = {}
    while content.startswith((b"X-Posthouse-", b"Return-Path: ")):
        line, _, content = content.partition(b"\n")
        key, _, value = line.decode().partition(": ")
        own.setdefault(key, []).append(value)
    return own, content


def as_file(text):
    return text.replace(b"\r\n", b"\n")


def check_maildir(folder, stored, ids):
    names = {p.name.split(".")[1]: p for p in (folder / "new").iterdir()}
    assert sorted(names) == sorted(ids), names
    assert not list((folder / "tmp").iterdir()) and not list((folder / "cur").iterdir())
    for i in ids:
        assert names[i].stat().st_mode & 0o777 == 0o600
        own, text = head_and_text(names[i].read_bytes())
        assert text == as_file(stored[i]), i
        assert own["X-Posthouse-Id"] == [i] and own["Return-Path"] == ["<alice@example.com>"]
    return {i: head_and_text(names[i].read_bytes())[0] for i in ids}


def check_mbox(path, stored, ids):
    """Taken apart by the rule of mboxrd, and once more by another reader."""
    parts = path.read_bytes().split(b"\nFrom ")
    assert parts[0].startswith(b"From alice@example.com ")
    found = []
    for part in parts:
        own, text = head_and_text(part.partition(b"\n")[2].rstrip(b"\n") + b"\n")
        text = b"".join(line[1:] if line.lstrip(b">").startswith(b"From ") else line
                        for line in text.splitlines(True))
        [i] = own["X-Posthouse-Id"]
        found.append(i)
        assert text == as_file(stored[i]), i
    assert sorted(found) == sorted(ids)
    box = mailbox.mbox(path, create=False)
    assert [m["X-Posthouse-Id"] for m in box] == found
    box.close()


def test_export():
    """Whole, with the envelope; nothing is overwritten, nothing leaves the spool."""
    with queued("offline-export") as (sink, posthouse, stored):
        ids = list(stored)
        out = target(posthouse, "out")
        for round_, daemon in enumerate((True, False)):
            if not daemon:
                posthouse.kill()
                before = picture(posthouse)
            maildir, box = out / f"m{round_}", out / f"b{round_}"
            told = ask(posthouse, "export", "--maildir", maildir)
            assert told == {"exported": 3, "there_already": 0, "gone_meanwhile": 0, "damaged": 0}
            own = check_maildir(maildir, stored, ids)[ids[2]]
            assert own["X-Posthouse-To"] == ["<bob@example.net>", "<carol@example.net>"], own
            assert own["X-Posthouse-State"][0].startswith("queued attempts="), own
            assert own["X-Posthouse-Peer"][0].startswith("127.0.0.1:"), own
            # Again: each is found, none is written twice.
            names = sorted((maildir / "new").iterdir())
            os.truncate(names[0], 1)
            told = ask(posthouse, "export", "--maildir", maildir)
            assert told["there_already"] == 3 and told["exported"] == 0, told
            assert sorted((maildir / "new").iterdir()) == names and names[0].stat().st_size == 1
            assert ask(posthouse, "export", "--mbox", box)["exported"] == 3
            check_mbox(box, stored, ids)
            content = box.read_bytes()
            p = ctl(posthouse, "export", "--mbox", box, status=EX_CANTCREAT)
            assert "stays as it is" in p.stderr and box.read_bytes() == content
            one = out / f"one{round_}"
            assert ask(posthouse, "export", "--mbox", one, ids[1], ids[0])["exported"] == 2
            check_mbox(one, stored, ids[:2])
        assert picture(posthouse) == before, "the spool was changed"
        assert not [p for p in out.iterdir() if p.name.startswith(".")], "something temporary stays"
        posthouse.start()
        sink.reset_all()
        posthouse.ctl("probe")
        sink.wait_received(3)


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def test_export_fails():
    """No room: what is not whole does not appear, what is whole stays, and it is said."""
    with queued("offline-room") as (sink, posthouse, stored):
        out = target(posthouse, "out")
        p = ctl(posthouse, "export", "--mbox", out / "box", status=EX_CANTCREAT, preexec_fn=small_files)
        assert "can't write" in p.stderr and "nothing is exported" in p.stderr, p.stderr
        assert list(out.iterdir()) == []
        p = ctl(posthouse, "export", "--maildir", out / "m", status=EX_CANTCREAT, preexec_fn=small_files)
        assert "can't write" in p.stderr and p.stdout == b"", p
        assert list((out / "m/tmp").iterdir()) == [] == list((out / "m/new").iterdir())
        ctl(posthouse, "export", "--maildir", posthouse.config, status=EX_CANTCREAT)
        ctl(posthouse, "export", "--mbox", out / "no/box", status=EX_CANTCREAT)
        (out / "link").symlink_to(out / "elsewhere")
        ctl(posthouse, "export", "--mbox", out / "link", status=EX_CANTCREAT)
        assert not (out / "elsewhere").exists()
        for name in ("", f"{out}/box/"):
            p = ctl(posthouse, "export", "--mbox", name, status=EX_CANTCREAT)
            assert f'"{name}" is not the name of a file' in p.stderr, p.stderr
        ctl(posthouse, "export", "--maildir", "", status=EX_CANTCREAT)
        # A Maildir of somebody else's making must not lead our files elsewhere.
        other = target(posthouse, "other")
        (other / "new").symlink_to(out)
        ctl(posthouse, "export", "--maildir", other, status=EX_CANTCREAT)
        assert sorted(i.name for i in out.iterdir()) == ["link", "m"], list(out.iterdir())


# --- damage --------------------------------------------------------------------

def spoil(posthouse, word):
    """Change one byte of a stored message; where it is."""
    [path] = [p for p in (spool_of(posthouse) / "log").iterdir() if word in p.read_bytes()]
    with path.open("r+b") as f:
        at = f.read().index(word)
        f.seek(at)
        f.write(bytes([word[0] ^ 1]))
    return path.stem, at


def test_damage():
    """check says what is damaged and where; cat and export tell, and keep what is whole."""
    with queued("offline-damage") as (sink, posthouse, stored):
        ids = list(stored)
        big = ids[0]
        posthouse.kill()
        word = stored[big][250000:250070]      # a line of a number of its own
        segment, at = spoil(posthouse, word)
        before = picture(posthouse)
        told = ask(posthouse, "check", status=1)
        assert not told["whole"] and (told["damaged"], told["incomplete"]) == (1, 1), told
        bad, message = told["faults"]
        assert (bad["kind"], bad["segment"], bad["message"]) == ("damaged", segment, big), bad
        assert bad["offset"] <= at < bad["offset"] + bad["length"] and "checksum" in bad["why"], bad
        assert (message["kind"], message["message"]) == ("incomplete", big), message
        shown = ctl(posthouse, "check", status=1).stdout.decode()
        assert "whole:" in shown and segment in shown and big in shown, shown
        p = ctl(posthouse, "cat", big, status=1)
        assert 0 < len(p.stdout) < len(stored[big]) and stored[big].startswith(p.stdout)
        assert big in p.stderr and "check" in p.stderr, p.stderr
        out = target(posthouse, "out")
        p = ctl(posthouse, "--json", "export", "--maildir", out / "m", status=1)
        assert json.loads(p.stdout)["damaged"] == 1 and f"{big} is left out" in p.stderr, p
        check_maildir(out / "m", stored, ids[1:])
        ctl(posthouse, "export", "--mbox", out / "b", status=1)
        check_mbox(out / "b", stored, ids[1:])
        assert picture(posthouse) == before, "the spool was changed"
        # The daemon's own answer ends early too, and that is no success.
        posthouse.start()
        posthouse.process.wait_line(r"\brecovered\b")
        p = ctl(posthouse, "cat", big, status=1)
        assert "bytes came" in p.stderr and len(p.stdout) < len(stored[big]), p.stderr
        assert ctl(posthouse, "cat", ids[1]).stdout == stored[ids[1]]
        assert ask(posthouse, "check", status=1)["quarantined"] >= 1


def test_missing():
    """A segment that is gone, and one that is cut off between records: check, log and status say so."""
    with lib.world("offline-missing", before=lib.Sink.refuse_all, queue=SMALL) as (sink, posthouse):
        tokens = []
        for _ in range(4):
            tokens.append(lib.new_token("q"))
            posthouse.submit(tokens[-1])
            posthouse.stop()
            posthouse.start()
        posthouse.stop()
        assert ask(posthouse, "check")["whole"]
        log = sorted((spool_of(posthouse) / "log").iterdir())
        start = log[2].read_bytes().index(b"\n@M ") + 1
        os.truncate(log[2], start)
        log[1].unlink()
        told = ask(posthouse, "check", status=1)
        assert not told["whole"] and told["missing"] == 2 and told["missing_bytes"] > 500, told
        gone, cut = told["faults"]
        assert gone["kind"] == cut["kind"] == "missing", told
        assert (gone["segment"], cut["segment"]) == (log[1].stem, log[2].stem), told
        assert cut["offset"] == start and cut["length"] == told["missing_bytes"], told
        assert "missing or cut off" in ctl(posthouse, "queue").stderr
        posthouse.start()
        posthouse.process.wait_line(r"\brecovered\b")
        for name in (log[1].stem, log[2].stem):
            assert f"segment {name} is" in posthouse.process.text(), posthouse.process.text()
        assert posthouse.ctl("status")["spool"]["missing"] == 2
        sink.reset_all()
        sink.wait_received(2)
        assert {m.header("X-Token") for m in sink.messages()} == {tokens[0], tokens[3]}


def test_terminal():
    """A message can't move the cursor of who looks at it."""
    with queued("offline-terminal") as (sink, posthouse, stored):
        one = list(stored)[1]
        for kill in (False, True):
            if kill:
                posthouse.kill()
            here, there = pty.openpty()
            p = subprocess.Popen([posthouse.bin / "posthousectl", "-c", posthouse.config, "cat", one],
                                 stdout=there, stderr=subprocess.DEVNULL, **posthouse._as_user())
            os.close(there)
            shown = b""
            with contextlib.suppress(OSError):      # EIO at the end
                while piece := os.read(here, 65536):
                    shown += piece
            os.close(here)
            assert p.wait(lib.PATIENCE) == 0
            assert b"esc \\x1b[2J bell \\x07 \\xc3\\xa9" in shown, shown
            assert not set(shown) & (set(range(32)) - {9, 10, 13} | set(range(127, 256))), shown


# --- beside a daemon at work -----------------------------------------------------

def test_beside():
    """While mail comes, goes and segments are given back: no false alarm, nothing half."""
    with lib.world("offline-beside", queue=SMALL) as (sink, posthouse):
        out = target(posthouse, "out")
        stop, flow, failed, number = threading.Event(), threading.Event(), [], itertools.count()
        flow.set()

        def submit():
            try:
                with posthouse.client() as client:
                    while not stop.is_set():
                        flow.wait()
                        token = lib.new_token("b")
                        posthouse.submit(token, client=client, body=lib.message(token, size=150000))
            except Exception as e:      # told by the test
                failed.append(e)

        threads = [threading.Thread(target=submit) for _ in range(2)]
        for t in threads:
            t.start()
        seen = set()
        try:
            for _ in range(25):
                told, _words = ask_beside(posthouse, flow, lambda: ("check",))
                assert told["whole"] and told["faults"] == [], told
                seen.add(min(p.name for p in (spool_of(posthouse) / "log").iterdir()))
                told, words = ask_beside(posthouse, flow,
                                         lambda: ("export", "--maildir", out / f"m{next(number)}"))
                assert told["damaged"] == 0, told
                for p in (words[-1] / "new").iterdir():
                    assert p.read_bytes().endswith(b"z\n"), p
        finally:
            stop.set()
            flow.set()
            for t in threads:
                t.join()
        assert not failed, failed
        assert len(seen) > 1, "no segment was given back meanwhile: the test shows nothing"


lib.run_tests(globals())

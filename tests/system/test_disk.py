# SPDX-License-Identifier: BSD-2-Clause
"""A full disk and a disk whose syncs fail: refused for now, nothing lost, recovery by itself."""

import contextlib
import smtplib

import lib

# Segments so small that a few messages need a new one.
SMALL = {"segment_size": "1M", "free_min": "0"}


@contextlib.contextmanager
def disk_fault(posthouse, word):
    """Order the fault; it ends with the block."""
    path = posthouse.place / "state/spool" / f"fault-{word}"
    path.touch()
    path.chmod(0o644)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def try_submit(posthouse):
    """(code, token, text) of the reply that decides about one message."""
    token = lib.new_token("d")
    client = posthouse.client()
    client.ehlo()
    try:
        for command in ((client.mail, "alice@example.com"), (client.rcpt, "bob@example.net")):
            code, text = command[0](command[1])
            if code != 250:
                return code, token, text
        try:
            code, text = client.data(lib.message(token, size=100000))
        except smtplib.SMTPDataError as e:
            code, text = e.smtp_code, e.smtp_error
        return code, token, text
    finally:
        client.close()


def accepted_after(posthouse):
    """The daemon takes mail again by itself; the token that it took."""
    deadline = lib.time.monotonic() + lib.PATIENCE
    waiter = lib.threading.Event()
    while lib.time.monotonic() < deadline:
        code, token, text = try_submit(posthouse)
        if code == 250:
            return token
        waiter.wait(0.1)
    raise lib.Failure(f"still refuses: {code} {text!r}")


def check_all_arrive(sink, tokens):
    sink.reset_all()
    sink.wait_until(lambda _: set(tokens) <= {m.header("X-Token") for m in sink.messages()},
                    "every acknowledged message")
    for m in sink.messages():
        assert lib.is_whole(m, m.header("X-Token"))


def submit_some(posthouse, count):
    """Tokens that were acknowledged, and those refused with 451 or 452."""
    good, bad = [], []
    for _ in range(count):
        code, token, text = try_submit(posthouse)
        assert code in (250, 451, 452), (code, text)
        (good if code == 250 else bad).append(token)
    return good, bad


def one_fault(word, again):
    """Acknowledged before, refused during, acknowledged after; optionally a crash meanwhile."""
    with lib.world(f"disk-{word}", before=lib.Sink.refuse_all, binary="posthoused-faulty",
                   queue=SMALL) as (sink, posthouse):
        tokens, refused = submit_some(posthouse, 5)
        assert not refused
        with disk_fault(posthouse, word):
            some, refused = submit_some(posthouse, 25)
            tokens += some
            assert refused and (word != "sync" or not some), (len(some), len(refused))
            assert posthouse.process.child.poll() is None
            if again:
                posthouse.kill()
        if word == "sync" and not again:
            posthouse.stop()    # else it takes no mail until a minute has passed without failure
        if word == "sync" or again:
            posthouse.start()
        tokens.append(accepted_after(posthouse))
        check_all_arrive(sink, tokens)
        posthouse.stop()
        got = [m.header("X-Token") for m in sink.messages()]
        assert len(got) == len(set(got)), "sent twice"
        # Not promised when the process ends before it can say that the range is void.
        assert word == "sync" or not set(refused) & set(got), "sent though refused"


def test_full_disk():
    one_fault("full", False)


def test_full_disk_and_crash():
    one_fault("full", True)


def test_failing_sync():
    one_fault("sync", False)


def test_one_failed_sync():
    """Who waits for it is refused; the next one is served, from a new segment."""
    with lib.world("disk-once", before=lib.Sink.refuse_all, binary="posthoused-faulty",
                   queue=SMALL) as (sink, posthouse):
        tokens, _ = submit_some(posthouse, 3)
        with disk_fault(posthouse, "sync-once"):
            code, refused, text = try_submit(posthouse)
        assert code == 451, (code, text)
        some, bad = submit_some(posthouse, 3)
        assert not bad
        posthouse.kill()
        posthouse.start()
        check_all_arrive(sink, tokens + some)
        assert refused not in {m.header("X-Token") for m in sink.messages()}, "sent though refused"


def test_failing_sync_and_crash():
    one_fault("sync", True)


def test_full_disk_still_delivers():
    """Room for outcomes was kept: what was accepted leaves, and leaves once."""
    with lib.world("disk-deliver", before=lib.Sink.refuse_all, binary="posthoused-faulty",
                   queue=SMALL) as (sink, posthouse):
        tokens, _ = submit_some(posthouse, 3)
        with disk_fault(posthouse, "full"):
            some, refused = submit_some(posthouse, 25)
            tokens += some
            assert refused
            sink.reset_all()
            posthouse.ctl("probe")
            sink.wait_received(len(tokens))
        tokens.append(accepted_after(posthouse))
        check_all_arrive(sink, tokens)


def fill(path):
    """Leave no byte."""
    with contextlib.suppress(OSError), (path / "fill").open("ab", buffering=0) as f:
        while f.write(b"x" * 4096):
            pass


def test_full_disk_over_restarts():
    """The room for outcomes survives a kill and a stop, though others take all that is free."""
    with lib.memory_disk("small-disk", "12m") as path:
        if path is None:
            return print("     (SKIP test_full_disk_over_restarts: no mount of its own is permitted)")
        full_disk_over_restarts(path)


def full_disk_over_restarts(path):
    with lib.world("disk-restarts", before=lib.Sink.refuse_all, queue=SMALL,
                   state_dir=str(path)) as (sink, posthouse):
        tokens, refused = submit_some(posthouse, 130)
        assert tokens and refused
        for end in (posthouse.kill, posthouse.stop, posthouse.kill):
            fill(path)
            end()
            fill(path)
            posthouse.start()
            assert try_submit(posthouse)[0] == 452
        sink.reset_all()
        posthouse.ctl("probe")
        sink.wait_received(len(tokens))
        (path / "fill").unlink()
        tokens.append(accepted_after(posthouse))
        check_all_arrive(sink, tokens)
        assert len(sink.messages()) == len(tokens)


lib.run_tests(globals())

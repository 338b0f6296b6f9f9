# SPDX-License-Identifier: BSD-2-Clause
"""What each fault of the smarthost does to mail, over real TLS.

In every case: nothing is lost or sent twice, nothing secret goes out in clear,
the right port carries the mail, and log and posthousectl name the cause.
"""

import base64
import concurrent.futures
import os
import re
import time

import lib


def no_secret_in_clear(sink, *words):
    clear = sink.clear()
    for word in (sink.USER, sink.PASSWORD, "alice@example.com", "bob@example.net", *words):
        for form in (word.encode(), base64.b64encode(word.encode()).rstrip(b"=")):
            assert form not in clear, f"in clear: {word}"
    for port in sink.ports:
        n = sink.stats(port)
        assert n["clear_auth"] == n["clear_mail"] == 0, (port, n)


def no_secret_in_log(sink, posthouse):
    log = posthouse.process.text()
    for word in (sink.PASSWORD, base64.b64encode(sink.PASSWORD.encode()).decode().rstrip("=")):
        assert word not in log, "a password is in the log"


def tokens_of(messages):
    return [m.header("X-Token") for m in messages if m.header("X-Token")]


def poll(condition, what, timeout=None):
    """For answers that have to be asked for: ask again after each line of the log, or 100 ms."""
    deadline = time.monotonic() + (timeout or lib.PATIENCE)
    waiter = lib.threading.Event()
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            raise lib.Failure(f"too late: {what}")
        waiter.wait(0.1)


# --- faults of one port: mail moves to the next ------------------------------

def setting(key, value):
    return lambda sink, port: sink.set(port, key, value)


def fault(step, action, **more):
    return lambda sink, port: sink.fault(port, step, action, **more)


# name: (how to bring it about, word of the class, preferred port)
PORT_FAULTS = {
    "refused": (setting("listen", "refuse"), "refused", "587"),
    "filtered": (setting("listen", "filtered"), "filtered", "587"),
    "silent": (fault("greeting", "hang"), "no_banner", "587"),
    "greeting-421": (fault("greeting", 421), "banner_4xx", "587"),
    "greeting-554": (fault("greeting", 554), "banner_5xx", "587"),
    "no-starttls": (setting("starttls", "missing"), "starttls_missing", "587"),
    "blanked-starttls": (setting("starttls", "blanked"), "starttls_missing", "587"),
    "starttls-454": (fault("starttls", 454), "starttls_refused", "587"),
    "injected": (setting("starttls", "inject"), "injected", "587"),
    "expired": (setting("cert", "expired"), "tls_expired", "587"),
    "self-signed": (setting("cert", "self-signed"), "tls_untrusted", "587"),
    "wrong-name": (setting("cert", "wrong-name"), "tls_name", "587"),
    "wrong-use": (setting("cert", "wrong-use"), "tls_untrusted", "587"),
    "expired-implicit": (setting("cert", "expired"), "tls_expired", "465"),
    "wrong-name-implicit": (setting("cert", "wrong-name"), "tls_name", "465"),
    "tls-on-starttls-port": (setting("tls", "swapped"), "no_banner|wants_implicit", "587"),
    "plain-on-implicit-port": (setting("tls", "swapped"), "wants_starttls", "465"),
    "ehlo-refused": (fault("ehlo", 550), "ehlo_refused", "587"),
    "no-login-offered": (setting("auth", "none"), "auth_missing", "587"),
}

# A port that goes silent in use is left when the reply timer ends: a minute.
SLOW = ("silent", "tls-on-starttls-port")
LONG = int(os.environ.get("POSTHOUSE_TEST_ROUNDS", "0")) >= 50


def order(first):
    return (first, *(p for p in ("587", "465", "2525") if p != first))


def check_blame(posthouse, port, word):
    """posthousectl ports names the cause, at the latest after a probe."""
    posthouse.ctl("probe")
    row = poll(lambda: [r for n, r in posthouse.ports().items()
                        if n == port and re.fullmatch(word, r["class"])],
               f"{word} in posthousectl ports")[0]
    assert not (row["current"] and row["state"] == "up" and not row["suspect"]), row


def port_fault_from_start(name):
    bring_about, word, first = PORT_FAULTS[name]
    with lib.world(f"start-{name}", before=lambda sink: bring_about(sink, first),
                   endpoints=order(first)) as (sink, posthouse):
        tokens = [lib.new_token() for _ in range(3)]
        for t in tokens:
            posthouse.submit(t)
        sink.wait_received(3)
        got = sink.messages()
        assert sorted(tokens_of(got)) == sorted(tokens), "lost or repeated"
        assert all(m.port != first and lib.is_whole(m, m.header("X-Token")) for m in got)
        check_blame(posthouse, first, word)
        no_secret_in_clear(sink, *tokens)
        no_secret_in_log(sink, posthouse)


def port_fault_in_use(name):
    """The port in use gets the fault, and its connections break as a new policy would do it."""
    bring_about, word, first = PORT_FAULTS[name]
    with lib.world(f"use-{name}", endpoints=order(first)) as (sink, posthouse):
        before = lib.new_token()
        posthouse.submit(before)
        sink.wait_received(1)
        assert sink.messages()[0].port == first
        bring_about(sink, first)
        sink.cut(first)
        after = [lib.new_token() for _ in range(3)]
        for t in after:
            posthouse.submit(t)
        sink.wait_received(4)
        got = sink.messages()
        assert sorted(tokens_of(got)) == sorted([before, *after]), "lost or repeated"
        assert all(m.port != first for m in got[1:]), [m.port for m in got]
        posthouse.process.wait_line(rf"\b({word})\b")
        no_secret_in_clear(sink, before, *after)
        no_secret_in_log(sink, posthouse)


# --- the connection breaks ---------------------------------------------------

def check_cut_before_dot():
    def cut_once(sink):
        sink.fault("587", "body", "cut", times=1)

    with lib.world("cut-before", before=cut_once) as (sink, posthouse):
        token = lib.new_token()
        posthouse.submit(token, body=lib.message(token, size=20 << 20))    # more than sockets hold
        sink.wait_received(1)
        [m] = sink.messages()
        assert lib.is_whole(m, token)
        posthouse.process.wait_line("cut_before_dot")
        posthouse.stop()
        assert len(sink.messages()) == 1


def check_cut_after_dot():
    """The one case that SMTP can't decide: it is sent again, and said to be uncertain."""
    def cut_once(sink):
        sink.fault("587", "dot", "cut", times=1)

    with lib.world("cut-after", before=cut_once) as (sink, posthouse):
        token = lib.new_token()
        posthouse.submit(token)
        sink.wait_received(2)
        got = sink.messages()
        assert [m.acknowledged for m in got] == [False, True]
        assert all(lib.is_whole(m, token) for m in got)
        assert got[0].header("Message-ID") == got[1].header("Message-ID")
        posthouse.process.wait_line("cut_after_dot|uncertain")
        posthouse.stop()
        assert len(sink.messages()) == 2


# --- faults of the account: no port is blamed, nobody is locked out ----------

def account_fault(code, word):
    def refuse_logins(sink):
        for port in sink.ports:
            sink.fault(port, "auth", code)

    with lib.world(f"auth-{code}", before=refuse_logins) as (sink, posthouse):
        ids = [posthouse.submit(lib.new_token()) for _ in range(3)]
        posthouse.process.wait_line(word)
        poll(lambda: posthouse.ctl("status")["relays"][0]["account"] != "available", "account state")
        refused = sum(sink.stats(p)["logins_refused"] for p in sink.ports)
        assert 1 <= refused <= 2, f"{refused} logins"    # a probe and a session may be on the way
        for row in posthouse.ports().values():
            assert row["state"] in ("up", "unknown"), row
        for i in ids:
            told = posthouse.ctl("explain", i)
            assert told["id"] == i and "account" in told["why"], told
        assert posthouse.ctl("status")["queue"]["messages"] == 3
        assert sink.messages() == [], "no bounce for a fault of the operator"
        no_secret_in_log(sink, posthouse)
        sink.reset_all()
        posthouse.ctl("unblock")
        if code == 535:
            sink.wait_received(3)


def check_auth_535():
    account_fault(535, "auth_refused")


def check_auth_454():
    account_fault(454, "auth_temp")


# --- faults of the message ---------------------------------------------------

def later(step):
    """4xx once: deferred, then delivered over the same port."""
    with lib.world(f"later-{step}", before=lambda s: s.fault("587", step, 451, times=1)) as (
            sink, posthouse):
        token = lib.new_token()
        name = posthouse.submit(token)
        posthouse.process.wait_line(f"deferred .*id={name}")
        sink.wait_received(1)
        [m] = sink.messages()
        assert m.port == "587" and lib.is_whole(m, token)
        posthouse.process.wait_line(f"delivered .*id={name}")
        assert posthouse.ports()["587"]["state"] == "up"
        no_secret_in_clear(sink, token)


def never(step):
    """5xx: returned to the sender, not tried on another port."""
    pattern = {"mail": "alice@*"}.get(step, "bad@*")

    def refuse(sink):
        for port in sink.ports:
            sink.fault(port, step, 550, match=pattern, text="5.7.1 not from here")

    with lib.world(f"never-{step}", before=refuse) as (sink, posthouse):
        token = lib.new_token()
        name = posthouse.submit(token, to=["bad@example.net"])
        sink.wait_received(1)
        [bounce] = sink.messages()
        assert bounce.sender == "" and bounce.to == ["alice@example.com"]
        text = bounce.body.decode()
        assert "multipart/report" in bounce.header("Content-Type")
        assert "5.7.1" in text and "bad@example.net" in text and token in text
        assert f"begin {token}" not in text    # the header comes back, the text does not
        posthouse.process.wait_line(f"bounced .*id={name}")
        assert all(row["state"] in ("up", "unknown") for row in posthouse.ports().values())
        posthouse.stop()
        assert len(sink.messages()) == 1, "tried again, or bounced twice"


def check_one_of_three_recipients():
    with lib.world("partial", before=lambda s: s.fault(
            "587", "rcpt", 550, match="bad@*", text="5.1.1 no such user")) as (sink, posthouse):
        token = lib.new_token()
        posthouse.submit(token, to=["good@example.net", "bad@example.net", "fine@example.net"])
        sink.wait_received(2)
        got = {m.sender: m for m in sink.messages()}
        assert sorted(got["alice@example.com"].to) == ["fine@example.net", "good@example.net"]
        text = got[""].body.decode()
        failed = re.findall(r"(?m)^Final-Recipient: rfc822; *(\S+)", text)
        assert failed == ["bad@example.net"], failed


def check_null_sender_is_never_bounced():
    with lib.world("null", before=lambda s: s.fault("587", "rcpt", 550, match="bad@*")) as (
            sink, posthouse):
        first = posthouse.submit(lib.new_token(), to=["bad@example.net"], sender="")
        posthouse.process.wait_line(f"id={first}.*")
        token = lib.new_token()
        posthouse.submit(token)
        sink.wait_received(1)
        poll(lambda: posthouse.ctl("status")["queue"]["messages"] == 0, "an empty queue")
        assert tokens_of(sink.messages()) == [token]


def check_slow_server():
    """Delays and replies of single bytes are slow, not wrong."""
    def slow(sink):
        sink.set("587", "trickle", 5)

    with lib.world("slow", before=slow, endpoints=("587",)) as (sink, posthouse):
        token = lib.new_token()
        posthouse.submit(token)
        sink.wait_received(1)
        assert tokens_of(sink.messages()) == [token]


def check_all_dead_then_back():
    with lib.world("outage", before=lib.Sink.refuse_all) as (sink, posthouse):
        tokens = [lib.new_token() for _ in range(5)]
        ids = [posthouse.submit(t) for t in tokens]
        poll(lambda: all(r["class"] == "refused" for r in posthouse.ports().values()),
             "refused on all ports")
        poll(lambda: "refused" in posthouse.ctl("explain", ids[0])["why"], "refused in explain")
        sink.reset_all()
        posthouse.ctl("probe")
        sink.wait_received(5)
        assert sorted(tokens_of(sink.messages())) == sorted(tokens)


def cases():
    for name in PORT_FAULTS:
        yield f"from start: {name}", lambda name=name: port_fault_from_start(name)
    for name in PORT_FAULTS:
        if name not in SLOW or LONG:
            yield f"in use: {name}", lambda name=name: port_fault_in_use(name)
    for step in ("mail", "rcpt", "data", "dot"):
        yield f"4xx at {step}", lambda step=step: later(step)
        yield f"5xx at {step}", lambda step=step: never(step)
    for name, function in globals().items():
        if name.startswith("check_") and name != "check_blame":
            yield name[len("check_"):].replace("_", " "), function


def main():
    """Cases wait more than they work, so some run at one time."""
    words = lib.sys.argv[1:]
    chosen = [(n, f) for n, f in cases() if not words or any(w in n for w in words)]
    failed = 0

    def one(item):
        begin = time.monotonic()
        try:
            item[1]()
        except Exception as error:    # a case fails by any of them
            return item[0], time.monotonic() - begin, error
        return item[0], time.monotonic() - begin, None

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for name, seconds, error in pool.map(one, chosen):
            if error is None:
                print(f"ok   {name} ({seconds:.1f} s)", flush=True)
                continue
            failed += 1
            lib.traceback.print_exception(error, file=lib.sys.stdout)
            print(f"FAIL {name} ({seconds:.1f} s): {error}", flush=True)
    for line in lib.reports:
        print(f"FAIL a sanitizer reports: {line}")
    lib.sys.exit(1 if failed or lib.reports else 0)


main()

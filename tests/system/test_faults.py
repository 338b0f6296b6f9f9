# SPDX-License-Identifier: BSD-2-Clause
"""What each fault of the smarthost does to mail, over real TLS.

In every case: nothing is lost or sent twice, nothing secret goes out in clear,
the right port carries the mail, and log, posthousectl ports and posthousectl explain
name the right cause, and no other one.
"""

import base64
import concurrent.futures
import inspect
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


# --- the right words ---------------------------------------------------------

# Class -> words of the sentence that people read.
MEANS = {
    "refused": "nothing listens on the port",
    "filtered": "filtered on the way",
    "no_banner": "connected, but no greeting came",
    "banner_4xx": 'greets with "try later"',
    "banner_5xx": "greets with a refusal",
    "wants_starttls": "speaks plain SMTP first",
    "wants_implicit": "expects TLS from the first byte",
    "starttls_missing": "STARTTLS is not offered",
    "starttls_blanked": "a device on the path writes X over the offer of STARTTLS",
    "prohibited": "says that the connection is prohibited",
    "starttls_refused": "offers STARTTLS but refuses it",
    "injected": "bytes came between the reply to STARTTLS and the handshake",
    "tls_handshake": "the TLS handshake failed",
    "tls_name": "the certificate is for another name",
    "tls_expired": "the certificate is not valid at this date",
    "tls_untrusted": "not signed by a trusted authority",
    "ehlo_refused": "refuses our name in EHLO",
    "auth_missing": "offers no login method that we have",
    "auth_temp": "can't check logins now",
    "auth_refused": "the login was refused",
    "mail_denied": "though the login worked",
    "quota": "asks to slow down",
    "sender_refused": "the sender address was refused",
    "rcpt_refused": "the recipient was refused",
    "content_refused": "the message was refused",
    "msg_temp": "try this message later",
    "cut_before_dot": "broke before the message was complete",
    "cut_after_dot": "broke before the message was confirmed",
    "garbled": "replies make no sense",
}


def log_words(posthouse, endpoint=None):
    """Every class that the log names; of one endpoint, or of all."""
    named = set()
    for line in posthouse.process.text().split("\n"):
        m = re.search(r" class=(\w+)", line)
        if m and (endpoint is None or f" endpoint={endpoint} " in line):
            named.add(m.group(1))
    return named - {"ok"}


def story_words(told):
    """Every class that explain names, in words or in sentences."""
    text = "\n".join(h["what"] for h in told["history"])
    return {w for w, means in MEANS.items() if means in text or re.search(rf"\b{w}: ", text)}


def steps(told):
    """The events of the message itself."""
    own = ("queued", "attempt", "delivered", "deferred", "failed", "uncertain", "waits", "bounced",
           "expired", "reported", "report-dropped", "held", "released", "removed", "finished")
    return [h["event"] for h in told["history"] if h["event"] in own]


def row(told, event, n=0):
    found = [h for h in told["history"] if h["event"] == event]
    assert len(found) > n, (event, told["history"])
    return found[n]


def finished(posthouse, message):
    """explain of a message that has left, as soon as it has."""
    return poll(lambda: [t for t in [posthouse.ctl("explain", message)]
                         if "finished" in steps(t)], f"the end of {message}")[0]


def check_verdict(posthouse, told, event, word, step, reply):
    """A reply, or a loss, at this step: what log and explain say of it."""
    line = posthouse.process.wait_line(rf"\b{event} id={told['id']} ")
    assert f" class={word} at={step} " in line and reply in line, line
    said = row(told, event)
    assert said["class"] == word and f"({word}: " in said["what"] and MEANS[word] in said["what"], said
    assert ("after the text" if step == "dot" and event != "uncertain" else
            "" if event == "uncertain" else f"at step {step}") in said["what"], said
    assert reply in said["what"], said
    assert story_words(told) == {word}, story_words(told)


# --- faults of one port: mail moves to the next ------------------------------

def setting(key, value):
    return lambda sink, port: sink.set(port, key, value)


def fault(step, action, **more):
    return lambda sink, port: sink.fault(port, step, action, **more)


# name: (how to bring it about, word of the class, what else log and ports say, preferred port)
PORT_FAULTS = {
    "refused": (setting("listen", "refuse"), "refused", "refused", "587"),
    "filtered": (setting("listen", "filtered"), "filtered", "no answer|timed out", "587"),
    "silent": (fault("greeting", "hang"), "no_banner", "no answer in time: greeting", "587"),
    "greeting-421": (fault("greeting", 421), "banner_4xx", "421", "587"),
    "greeting-554": (fault("greeting", 554), "banner_5xx", "554", "587"),
    "no-starttls": (setting("starttls", "missing"), "starttls_missing", "250 PIPELINING", "587"),
    "blanked-starttls": (setting("starttls", "blanked"), "starttls_blanked", "XXXXXXXX", "587"),
    "starttls-454": (fault("starttls", 454), "starttls_refused", "454", "587"),
    "injected": (setting("starttls", "inject"), "injected", "behind the reply to STARTTLS", "587"),
    "expired": (setting("cert", "expired"), "tls_expired", "expired", "587"),
    "self-signed": (setting("cert", "self-signed"), "tls_untrusted", "self-signed", "587"),
    "wrong-name": (setting("cert", "wrong-name"), "tls_name", "for elsewhere.example.net, not",
                   "587"),
    "wrong-use": (setting("cert", "wrong-use"), "tls_untrusted", "not for servers", "587"),
    "expired-implicit": (setting("cert", "expired"), "tls_expired", "expired", "465"),
    "wrong-name-implicit": (setting("cert", "wrong-name"), "tls_name", "for elsewhere.example.net, not",
                   "465"),
    "tls-on-starttls-port": (setting("tls", "swapped"), "wants_implicit", "answers a TLS handshake", "587"),
    "plain-on-implicit-port": (setting("tls", "swapped"), "wants_starttls",
                               "answered in plain text", "465"),
    "ehlo-refused": (fault("ehlo", 550), "ehlo_refused", "550", "587"),
    "ehlo-451": (fault("ehlo", 451), "banner_4xx", "451", "587"),
    "starttls-554": (fault("starttls", 554), "starttls_refused", "554", "587"),
    "no-login-offered": (setting("auth", "none"), "auth_missing", "no login method that may be used is offered", "587"),
}

# A port that goes silent in use is left when the reply timer ends: a minute.
SLOW = ("silent", "tls-on-starttls-port")
LONG = int(os.environ.get("POSTHOUSE_TEST_ROUNDS", "0")) >= 50


def order(first):
    return (first, *(p for p in ("587", "465", "2525") if p != first))


def check_blame(posthouse, port, word, detail):
    """posthousectl ports names the cause, at the latest after a probe."""
    posthouse.ctl("probe")
    row = poll(lambda: [r for n, r in posthouse.ports().items() if n == port and r["class"] == word],
               f"{word} in posthousectl ports")[0]
    assert not (row["current"] and row["state"] == "up" and not row["suspect"]), row
    if detail == "self-signed":     # another issuer than that of the ports that work
        row = poll(lambda: [r for n, r in posthouse.ports().items() if n == port and
                            f"interception on port {r['port']}: its certificate is issued by " in r["why"]],
                   "interception in posthousectl ports")[0]
        assert re.search(r"issued by .*, that of port \d+ by ", row["why"]), row
    else:
        assert MEANS[word] in row["why"], row
    assert re.search(detail, row["why"]), row


def check_log(sink, posthouse, port, word, detail):
    """That port is said to have this fault and no other, and no other port is said to have any."""
    for name, number in sink.ports.items():
        named = log_words(posthouse, f"localhost:{number}")
        assert named == ({word} if name == port else set()), (name, named)
    endpoint = f"localhost:{sink.ports[port]}"
    assert re.search(rf" endpoint={endpoint} class={word} .*detail=\"[^\"]*({detail})",
                     posthouse.process.text()), (endpoint, word, detail)


def check_story(sink, posthouse, message, received, port, word):
    """Over which port it went, and what was the matter with the preferred one."""
    told = finished(posthouse, message)
    assert told["state"] == "delivered" and received.port != port, told
    assert steps(told)[0] == "queued" and steps(told)[-2:] == ["delivered", "finished"], told
    assert told["last_endpoint"] == f"localhost:{sink.ports[received.port]}", told
    attempt = row(told, "attempt", steps(told).count("attempt") - 1)
    assert attempt["endpoint"] == told["last_endpoint"] and attempt["what"].startswith("sent over "), told
    others = attempt["what"].partition("; the other ports: ")[2]
    assert re.search(rf"\b{sink.ports[port]} \w+ \({word}: [^)]*{re.escape(MEANS[word])}", others), told
    assert story_words(told) == {word}, (word, story_words(told), told)


def port_fault_from_start(name):
    bring_about, word, detail, first = PORT_FAULTS[name]
    with lib.world(f"start-{name}", before=lambda sink: bring_about(sink, first),
                   endpoints=order(first), debug=True) as (sink, posthouse):
        tokens = [lib.new_token() for _ in range(3)]
        ids = [posthouse.submit(t) for t in tokens]
        sink.wait_received(3)
        [carrier] = {m.port for m in sink.messages()}    # who won the race keeps it
        assert [p for p, row in posthouse.ports().items() if row["current"]] == [carrier], posthouse.ports()
        [change] = posthouse.ctl("failover")["changes"]
        assert (change["from"], change["to"]) == ("none", str(sink.ports[carrier])), change
        assert change["reason"] in ("race", "first"), change    # or a probe was before the mail
        check_blame(posthouse, first, word, detail)
        tokens.append(lib.new_token())
        late = posthouse.submit(tokens[-1])
        sink.wait_received(4)
        got = sink.messages()
        assert sorted(tokens_of(got)) == sorted(tokens), "lost or repeated"
        assert all(m.port != first and lib.is_whole(m, m.header("X-Token")) for m in got)
        check_story(sink, posthouse, late, got[-1], first, word)
        for message in ids:    # the cause may not have been known yet, but no other is named
            assert story_words(finished(posthouse, message)) <= {word}, message
        check_log(sink, posthouse, first, word, detail)
        no_secret_in_clear(sink, *tokens)
        no_secret_in_log(sink, posthouse)


def port_fault_in_use(name):
    """The port in use gets the fault, and its connections break as a new policy would do it."""
    bring_about, word, detail, first = PORT_FAULTS[name]
    with lib.world(f"use-{name}", endpoints=order(first), debug=True) as (sink, posthouse):
        before = lib.new_token()
        fine = posthouse.submit(before)
        sink.wait_received(1)
        assert sink.messages()[0].port == first
        told = finished(posthouse, fine)
        assert told["last_endpoint"] == f"localhost:{sink.ports[first]}", told
        assert story_words(told) == set(), told
        bring_about(sink, first)
        sink.cut(first)
        after = [lib.new_token() for _ in range(3)]
        ids = {t: posthouse.submit(t) for t in after}
        sink.wait_received(4)
        got = sink.messages()
        assert sorted(tokens_of(got)) == sorted([before, *after]), "lost or repeated"
        assert all(m.port != first for m in got[1:]), [m.port for m in got]
        for m in got[1:]:
            check_story(sink, posthouse, ids[m.header("X-Token")], m, first, word)
        check_log(sink, posthouse, first, word, detail)
        no_secret_in_clear(sink, before, *after)
        no_secret_in_log(sink, posthouse)


# --- the connection breaks ---------------------------------------------------

def check_cut_before_dot():
    def cut_once(sink):
        sink.fault("587", "body", "cut", times=1)

    with lib.world("cut-before", before=cut_once) as (sink, posthouse):
        token = lib.new_token()
        name = posthouse.submit(token, body=lib.message(token, size=20 << 20))    # more than sockets hold
        sink.wait_received(1)
        [m] = sink.messages()
        assert lib.is_whole(m, token)
        told = finished(posthouse, name)
        check_verdict(posthouse, told, "deferred", "cut_before_dot", "body", "")
        assert "lost to localhost" in row(told, "deferred")["what"], told
        assert "does not count as an attempt" in row(told, "waits")["what"], told
        assert steps(told) == ["queued", "attempt", "deferred", "waits", "attempt", "delivered",
                               "finished"], told
        posthouse.stop()
        assert len(sink.messages()) == 1


def check_cut_after_dot():
    """The one case that SMTP can't decide: it is sent again, and said to be uncertain."""
    def cut_once(sink):
        sink.fault("587", "dot", "cut", times=1)

    with lib.world("cut-after", before=cut_once) as (sink, posthouse):
        token = lib.new_token()
        name = posthouse.submit(token)
        sink.wait_received(2)
        got = sink.messages()
        assert [m.acknowledged for m in got] == [False, True]
        assert all(lib.is_whole(m, token) for m in got)
        assert got[0].header("Message-ID") == got[1].header("Message-ID")
        told = finished(posthouse, name)
        check_verdict(posthouse, told, "uncertain", "cut_after_dot", "dot", "")
        assert "may arrive twice" in row(told, "waits")["what"], told
        assert steps(told) == ["queued", "attempt", "uncertain", "waits", "attempt", "delivered",
                               "finished"], told
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
            assert told["id"] == i and "account" in told["why"] and str(code) in told["why"], told
            assert MEANS[word] in told["why"], told
            event = "account-blocked" if code == 535 else "account-paused"
            said = poll(lambda: [h for t in [posthouse.ctl("explain", i)] for h in t["history"]
                                 if h["event"] == event], f"{event} in explain")[0]
            assert said["class"] == word and MEANS[word] in said["what"] and \
                str(code) in said["what"], said
            assert story_words(posthouse.ctl("explain", i)) == {word}
            assert "attempt" not in steps(told), told
        posthouse.process.wait_line(rf"\b{event} .*class={word} .*detail=\"{code}")
        assert log_words(posthouse) == {word}, log_words(posthouse)
        assert posthouse.ctl("status")["queue"]["messages"] == 3
        assert sink.messages() == [], "no bounce for a fault of the operator"
        no_secret_in_log(sink, posthouse)
        sink.reset_all()
        posthouse.ctl("unblock")
        if code == 535:
            sink.wait_received(3)
            told = finished(posthouse, ids[0])
            assert told["state"] == "delivered" and story_words(told) == {word}, told
            assert "account-available" in [h["event"] for h in told["history"]], told


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
        told = finished(posthouse, name)
        check_verdict(posthouse, told, "deferred", "msg_temp", step, "451")
        assert re.match(r"next attempt in \w+, after 1 that failed$", row(told, "waits")["what"]), told
        assert steps(told) == ["queued", "attempt", "deferred", "waits", "attempt", "delivered",
                               "finished"], told
        assert told["state"] == "delivered" and told["attempts"] == 2, told
        for n in range(2):
            assert row(told, "attempt", n)["endpoint"] == f"localhost:{sink.ports['587']}", told
        assert posthouse.ports()["587"]["state"] == "up"
        no_secret_in_clear(sink, token)


def never(step):
    """5xx: returned to the sender, not tried on another port."""
    pattern = {"mail": "alice@*"}.get(step, "bad@*")
    word = {"mail": "sender_refused", "rcpt": "rcpt_refused"}.get(step, "content_refused")

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
        told = finished(posthouse, name)
        check_verdict(posthouse, told, "failed", word, step, "5.7.1")
        assert steps(told) == ["queued", "attempt", "failed", "bounced", "reported", "finished"], told
        assert told["state"] == "bounced" and "550 5.7.1" in row(told, "bounced")["what"], told
        assert row(told, "reported")["what"].endswith(" alice@example.com"), told
        [report] = re.findall(r"the report is message (\w{16})", told["why"])
        told = finished(posthouse, report)
        assert told["state"] == "delivered" and told["from"] == "<>", told
        assert f"to report the failures of message {name}" in row(told, "queued")["what"], told
        assert all(row["state"] in ("up", "unknown") for row in posthouse.ports().values())
        posthouse.stop()
        assert len(sink.messages()) == 1, "tried again, or bounced twice"


def check_one_of_three_recipients():
    with lib.world("partial", before=lambda s: s.fault(
            "587", "rcpt", 550, match="bad@*", text="5.1.1 no such user")) as (sink, posthouse):
        token = lib.new_token()
        name = posthouse.submit(token, to=["good@example.net", "bad@example.net", "fine@example.net"])
        sink.wait_received(2)
        got = {m.sender: m for m in sink.messages()}
        assert sorted(got["alice@example.com"].to) == ["fine@example.net", "good@example.net"]
        text = got[""].body.decode()
        failed = re.findall(r"(?m)^Final-Recipient: rfc822; *(\S+)", text)
        assert failed == ["bad@example.net"], failed
        told = finished(posthouse, name)
        check_verdict(posthouse, told, "failed", "rcpt_refused", "rcpt", "5.1.1")
        assert told["state"] == "bounced" and "delivered to 2 of 3" in told["why"], told
        assert {(r["address"], r["state"], r["code"]) for r in told["recipients"]} == {
            ("good@example.net", "delivered", 250), ("bad@example.net", "failed", 550),
            ("fine@example.net", "delivered", 250)}, told


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
        told = finished(posthouse, first)
        check_verdict(posthouse, told, "failed", "rcpt_refused", "rcpt", "550")
        assert steps(told)[-3:] == ["bounced", "report-dropped", "finished"], told
        assert "null-sender" in row(told, "report-dropped")["what"], told
        assert told["from"] == "<>" and "nobody could be told" in told["why"], told


def check_slow_server():
    """Delays and replies of single bytes are slow, not wrong."""
    def slow(sink):
        sink.set("587", "trickle", 5)

    with lib.world("slow", before=slow, endpoints=("587",)) as (sink, posthouse):
        token = lib.new_token()
        name = posthouse.submit(token)
        sink.wait_received(1)
        assert tokens_of(sink.messages()) == [token]
        told = finished(posthouse, name)
        assert steps(told) == ["queued", "attempt", "delivered", "finished"], told
        assert story_words(told) == set() and log_words(posthouse) == set(), told
        greeting = re.search(r" greeting (\d+) ms", row(told, "attempt")["what"])
        assert greeting and int(greeting.group(1)) > 50, told    # byte by byte


def check_all_dead_then_back():
    with lib.world("outage", before=lib.Sink.refuse_all) as (sink, posthouse):
        tokens = [lib.new_token() for _ in range(5)]
        ids = [posthouse.submit(t) for t in tokens]
        poll(lambda: all(r["class"] == "refused" for r in posthouse.ports().values()),
             "refused on all ports")
        poll(lambda: "refused" in posthouse.ctl("explain", ids[0])["why"], "refused in explain")
        assert log_words(posthouse) == {"refused"}, log_words(posthouse)
        assert story_words(posthouse.ctl("explain", ids[0])) <= {"refused"}
        sink.reset_all()
        posthouse.ctl("probe")
        sink.wait_received(5)
        assert sorted(tokens_of(sink.messages())) == sorted(tokens)
        canaries = 0
        for name in ids:
            told = finished(posthouse, name)
            events = [h["event"] for h in told["history"]]
            assert "relay-down" in events, told
            how = row(told, "attempt")["what"]
            if "to try after an outage" in how and "as message" not in how:
                canaries += 1       # with it the relay is up
            else:
                assert events.index("relay-down") < events.index("relay-up") < events.index("attempt"), told
            assert story_words(told) == {"refused"} and told["attempts"] == 1, told
        assert canaries <= 1, canaries      # none, if a probe came first


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
        if name.startswith("check_") and not inspect.signature(function).parameters:
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

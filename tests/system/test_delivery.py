# SPDX-License-Identifier: BSD-2-Clause
"""Messages of unmodified programs arrive, once, over a port that works."""

import collections
import concurrent.futures
import contextlib
import os
import smtplib
import socket
import time

import lib


def arrived(sink, token):
    return [m for m in sink.messages() if m.header("X-Token") == token]


def test_by_smtp():
    with lib.world("smtp") as (sink, posthouse):
        token = lib.new_token()
        name = posthouse.submit(token)
        sink.wait_received(1)
        [m] = arrived(sink, token)
        assert m.port == "587" and m.tls.startswith("TLSv1") and m.user == sink.USER
        assert (m.sender, m.to) == ("alice@example.com", ["bob@example.net"])
        assert lib.is_whole(m, token)
        assert "client.example.com" in m.header("Received") and name in m.header("Received")
        assert m.header("Date") and m.header("Message-ID")
        posthouse.process.wait_line(f"delivered .*id={name}")
        clear = sink.clear()
        for secret in (sink.PASSWORD, token, "alice@example.com", "bob@example.net"):
            assert secret.encode() not in clear, secret
        assert sink.PASSWORD not in posthouse.process.text()
        posthouse.stop()


def test_by_sendmail():
    with lib.world("sendmail") as (sink, posthouse):
        token = lib.new_token()
        posthouse.sendmail(["-t", "-i", "-f", "alice@example.com"],
                           b"To: bob@example.net\nCc: carol@example.net\n"
                           b"Bcc: dave@example.net\nSubject: hi\nX-Token: " + token.encode() +
                           b"\n\n.\nbody\n")
        sink.wait_received(1)
        [m] = arrived(sink, token)
        assert m.sender == "alice@example.com", m.sender
        assert sorted(m.to) == ["bob@example.net", "carol@example.net", "dave@example.net"], m.to
        assert m.header("Bcc") is None
        assert m.text() == b".\r\nbody\r\n", m.text()


def test_by_unix_socket():
    with lib.world("unix") as (sink, posthouse):
        token = lib.new_token()
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(posthouse.place / "run/smtp.sock"))
        c = smtplib.SMTP(local_hostname="local.example.com", timeout=lib.PATIENCE)
        c.sock, c.file = s, s.makefile("rb")
        assert c.getreply()[0] == 220
        posthouse.submit(token, client=c)
        sink.wait_received(1)
        assert len(arrived(sink, token)) == 1


def test_many_recipients_and_sizes():
    with lib.world("sizes") as (sink, posthouse):
        to = [f"r{i}@example.net" for i in range(250)]
        token = lib.new_token()
        posthouse.submit(token, to=to)
        big = lib.new_token()
        posthouse.submit(big, body=lib.message(big, size=5 << 20))
        sink.wait_until(lambda lines: sum(len(m.to) for m in sink.messages()) >= 251,
                        "251 recipients")
        got = arrived(sink, token)
        assert sorted(r for m in got for r in m.to) == sorted(to)
        assert max(len(m.to) for m in got) <= 100    # recipients_per_message
        [m] = arrived(sink, big)
        assert lib.is_whole(m, big) and len(m.body) > 5 << 20


def send_many(posthouse, count):
    tokens = []
    client = posthouse.client()
    for _ in range(count):
        tokens.append(lib.new_token("m"))
        posthouse.submit(tokens[-1], client=client)
    client.quit()
    return tokens


def test_thousand_messages_two_dead_ports():
    def kill_two(sink):
        sink.set("587", "listen", "refuse")
        sink.fault("465", "greeting", "hang")

    with lib.world("thousand", before=kill_two) as (sink, posthouse):
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            parts = [pool.submit(send_many, posthouse, 50) for _ in range(20)]
            sent = [t for p in parts for t in p.result()]
        assert len(sent) == 1000
        sink.wait_received(1000, timeout=2 * lib.PATIENCE)
        posthouse.stop()
        got = sink.messages()
        times = collections.Counter(m.header("X-Token") for m in got)
        assert set(times) == set(sent), "lost or unknown"
        assert all(n == 1 for n in times.values()), "some arrived more than once"
        for m in got:
            assert lib.is_whole(m, m.header("X-Token")) and m.port == "2525"
        for port in sink.ports:
            n = sink.stats(port)
            assert n["clear_auth"] == n["clear_mail"] == n["violations"] == 0, (port, n)


def test_queue_survives_restart():
    with lib.world("restart", before=lib.Sink.refuse_all) as (sink, posthouse):
        tokens = [lib.new_token() for _ in range(10)]
        for t in tokens:
            posthouse.submit(t)
        posthouse.stop()
        sink.reset_all()
        posthouse.start()
        sink.wait_received(10)
        assert sorted(m.header("X-Token") for m in sink.messages()) == sorted(tokens)


def test_reload_keeps_clients_and_mail():
    with lib.world("reload") as (sink, posthouse):
        client = posthouse.client()
        first, second = lib.new_token(), lib.new_token()
        posthouse.submit(first, client=client)
        reload(posthouse, admin="other@example.com")
        posthouse.submit(second)
        sink.wait_received(2)
        assert sorted(m.header("X-Token") for m in sink.messages()) == sorted([first, second])


def reload(posthouse, **settings):
    """The mark in the log where it began."""
    posthouse.settings.update(settings)
    posthouse.write_config()
    start = posthouse.process.mark()
    posthouse.process.child.send_signal(lib.signal.SIGHUP)
    posthouse.process.wait_line("reloaded", start)
    return start


@contextlib.contextmanager
def two_relays(name, before=None):
    """Two real smarthosts, which posthouse knows as main and backup."""
    with lib.world(name, before=before) as (main, posthouse):
        backup = lib.Sink(posthouse.place / "backup", posthouse.place / "certs")
        try:
            first = posthouse.settings["relays"][0]
            reload(posthouse, relays=[first, dict(first, name="backup",
                   endpoints=[{"port": backup.ports["465"], "tls": "implicit"}])])
            yield main, backup, posthouse
        finally:
            backup.stop()


def goes_away(sink):
    for port in sink.ports:
        sink.set(port, "listen", "refuse")
        sink.cut(port)


def test_second_relay():
    """The second gets mail while the first is out, with its own login."""
    with two_relays("relays") as (main, backup, posthouse):
        start = posthouse.process.mark()
        tokens = [lib.new_token() for _ in range(2)]
        posthouse.submit(tokens[0])
        main.wait_received(1)
        goes_away(main)
        posthouse.submit(tokens[1])
        backup.wait_received(1)
        assert len(arrived(backup, tokens[1])) == 1
        posthouse.process.wait_line("failover from=main to=backup reason=no-port-usable", start)
        rows = posthouse.ctl("status")["relays"]
        assert [(r["relay"], r["in_use"]) for r in rows] == [("main", False), ("backup", True)], rows
        assert "no port of localhost is usable" in rows[0]["why"], rows
        [route] = posthouse.ctl("status")["routes"]
        assert (route["relays"], route["in_use"]) == (["main", "backup"], "backup"), route


def test_dead_first_relay():
    """Nothing of the first relay has worked since the start: the second one gets the mail after its head start."""
    def dead(sink):
        sink.set("587", "tls", "swapped")
        sink.set("465", "tls", "swapped")
        sink.fault("2525", "greeting", "hang", times=1000)

    with two_relays("dead", dead) as (main, backup, posthouse):
        start = posthouse.process.mark()
        began = time.monotonic()
        token = lib.new_token()
        posthouse.submit(token)
        backup.wait_received(1)
        print(f"the first message left by the second relay after {time.monotonic() - began:.1f} s")
        assert len(arrived(backup, token)) == 1 and not arrived(main, token)
        posthouse.process.wait_line("failover from=main to=backup reason=no-port-ready", start)
        # A reload keeps it there, and lists no change that is none.
        reload(posthouse)
        posthouse.submit(lib.new_token())
        backup.wait_received(2)
        [change] = [c for c in posthouse.ctl("failover")["changes"] if c["event"] == "failover"]
        assert (change["from"], change["to"]) == ("main", "backup"), change
        assert change["class"] in ("wants_implicit", "wants_starttls", "no_banner"), change
        # It is back when a port of it works.
        start = posthouse.process.mark()
        main.reset_all()
        for port in main.ports:
            main.cut(port)        # probes hang there
        posthouse.ctl("probe")
        posthouse.process.wait_line("failover from=backup to=main reason=usable-again", start)
        posthouse.submit(lib.new_token())
        main.wait_received(1)


BOB, CAROL, DAVE = "bob@main.example", "carol@Backup.Example", "dave@either.example"


def who_got(sink, token):
    return sorted(rcpt for m in arrived(sink, token) for rcpt in m.to)


def test_routes():
    """Recipients of one message over two smarthosts, and over none but their own; then other routes."""
    routes = [{"name": "own", "to": "*@main.example", "relays": ["main"]},
              {"to": "*@backup.example", "relays": ["backup"]},
              {"name": "rest", "relays": ["main", "backup"]}]
    with two_relays("routes") as (main, backup, posthouse):
        reload(posthouse, routes=routes)
        tokens = [lib.new_token() for _ in range(3)]
        posthouse.submit(tokens[0], to=(BOB, CAROL, DAVE))
        main.wait_until(lambda _: len(who_got(main, tokens[0])) == 2, "two at main")
        backup.wait_received(1)
        assert who_got(main, tokens[0]) == [BOB, DAVE], who_got(main, tokens[0])
        assert who_got(backup, tokens[0]) == [CAROL], who_got(backup, tokens[0])

        start = posthouse.process.mark()
        goes_away(main)
        name = posthouse.submit(tokens[1], to=(BOB, CAROL, DAVE))
        backup.wait_until(lambda _: len(who_got(backup, tokens[1])) == 2, "two at backup")
        posthouse.process.wait_line("failover route=rest from=main to=backup", start)
        posthouse.process.wait_line(f"delivered id={name} to=.dave", start)
        assert who_got(backup, tokens[1]) == [CAROL, DAVE], who_got(backup, tokens[1])
        rows = posthouse.ctl("status")["routes"]
        assert [(r["route"], r["in_use"], r["waiting"]) for r in rows] == \
            [("own", None, 1), ("2", "backup", 0), ("rest", "backup", 0)], rows
        [m] = posthouse.ctl("queue")["messages"]
        assert (m["id"], m["route"], m["relay"]) == (name, "own", None), m
        assert "does not count as an attempt" in m["reason"], m
        told = posthouse.ctl("explain", name)["recipients"]
        assert [(r["state"], r["route"], r["relay"]) for r in told] == \
            [("queued", "own", None), ("delivered", None, None), ("delivered", None, None)], told
        [change] = [c for c in posthouse.ctl("failover")["changes"] if c["event"] == "failover"]
        assert (change["route"], change["to"]) == ("rest", "backup"), change

        # What waits follows the new routes; and a user is known on the unix socket.
        reload(posthouse, routes=[{"user": str(os.getuid()), "from": "<>", "relays": ["main"]},
                                  {"relays": ["backup"]}])
        backup.wait_until(lambda _: len(who_got(backup, tokens[1])) == 3, "the last one")
        assert who_got(backup, tokens[1]) == [BOB, CAROL, DAVE], who_got(backup, tokens[1])
        main.reset_all()
        posthouse.sendmail(["-f", "<>", "-i", BOB], f"X-Token: {tokens[2]}\n\nhi\n".encode())
        main.wait_until(lambda _: who_got(main, tokens[2]) == [BOB], "the user's mail")
        assert who_got(main, tokens[1]) == [] and who_got(backup, tokens[2]) == []


lib.run_tests(globals())

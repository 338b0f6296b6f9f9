# SPDX-License-Identifier: BSD-2-Clause
"""Messages of unmodified programs arrive, once, over a port that works."""

import collections
import concurrent.futures
import smtplib
import socket

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
        posthouse.settings["admin"] = "other@example.com"
        posthouse.write_config()
        start = posthouse.process.mark()
        posthouse.process.child.send_signal(lib.signal.SIGHUP)
        posthouse.process.wait_line("reloaded", start)
        posthouse.submit(second)
        sink.wait_received(2)
        assert sorted(m.header("X-Token") for m in sink.messages()) == sorted([first, second])


def test_second_relay():
    """Two real smarthosts: the second gets mail while the first is out, with its own login."""
    with lib.world("relays") as (main, posthouse):
        backup = lib.Sink(posthouse.place / "backup", posthouse.place / "certs")
        try:
            second = dict(posthouse.settings["relays"][0], name="backup",
                          endpoints=[{"port": backup.ports["465"], "tls": "implicit"}])
            posthouse.settings["relays"].append(second)
            posthouse.write_config()
            start = posthouse.process.mark()
            posthouse.process.child.send_signal(lib.signal.SIGHUP)
            posthouse.process.wait_line("reloaded", start)
            tokens = [lib.new_token() for _ in range(2)]
            posthouse.submit(tokens[0])
            main.wait_received(1)
            for port in main.ports:
                main.set(port, "listen", "refuse")
                main.cut(port)
            posthouse.submit(tokens[1])
            backup.wait_received(1)
            assert len(arrived(backup, tokens[1])) == 1
            posthouse.process.wait_line("failover from=main to=backup reason=no-port-usable", start)
            rows = posthouse.ctl("status")["relays"]
            assert [(r["relay"], r["in_use"]) for r in rows] == [("main", False), ("backup", True)], rows
            assert "no port of localhost is usable" in rows[0]["why"], rows
        finally:
            backup.stop()


lib.run_tests(globals())

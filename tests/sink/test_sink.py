# SPDX-License-Identifier: BSD-2-Clause
"""posthouse-sink does what tests ask of it: a test with a tame upstream proves nothing."""

import contextlib
import os
import pathlib
import smtplib
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.environ.get("top_srcdir", "."), "tests/system"))
import lib  # noqa: E402

MAIL = b"Subject: x\r\n\r\n..dots\r\n. one\r\n"


@contextlib.contextmanager
def sink(**kw):
    with lib.workplace("sink") as place:
        certs = lib.make_certs(place / "certs")
        s = lib.Sink(place / "sink", certs, **kw)
        s.context = ssl.create_default_context(cafile=str(certs / "ca.pem"))
        try:
            yield s
        finally:
            s.kill()


def client(s, port):
    if port == "465":
        return smtplib.SMTP_SSL("localhost", s.ports[port], context=s.context, timeout=20)
    c = smtplib.SMTP("localhost", s.ports[port], timeout=20)
    c.starttls(context=s.context)
    return c


def send(s, port="587", to=("b@example.net",), mechanism=None):
    c = client(s, port)
    if mechanism:
        c.ehlo()
        c.user, c.password = s.USER, s.PASSWORD
        c.auth(mechanism, getattr(c, "auth_" + mechanism.lower()))
    else:
        c.login(s.USER, s.PASSWORD)
    try:
        return c.sendmail("a@example.com", list(to), MAIL)
    finally:
        with contextlib.suppress(smtplib.SMTPException, OSError):
            c.quit()


def expect_error(code, function, *args, **kw):
    try:
        function(*args, **kw)
    except smtplib.SMTPRecipientsRefused as e:
        got = list(e.recipients.values())[0][0]
    except smtplib.SMTPResponseException as e:
        got = e.smtp_code
    else:
        got = "success"
    assert got == code, f"wanted {code}, got {got}"


def expect(error, function, *args):
    try:
        function(*args)
    except error as e:
        return str(e)
    raise AssertionError(f"no {error}")


def test_delivery_on_each_port():
    begin = time.monotonic()
    with sink() as s:
        for port, mechanism in (("587", "PLAIN"), ("465", "LOGIN"), ("2525", None)):
            send(s, port, mechanism=mechanism)
        got = s.messages()
        assert [m.port for m in got] == ["587", "465", "2525"]
        for m in got:
            assert (m.sender, m.to, m.user) == ("a@example.com", ["b@example.net"], s.USER)
            assert m.body == MAIL and m.acknowledged and m.tls.startswith("TLSv1")
            assert m.number == 1 and begin < m.began < m.at < time.monotonic()
        for port in s.ports:
            n = s.stats(port)
            assert n["received"] == 1 and n["logins"] == 1 and n["violations"] == 0, n
        assert b"a@example.com" not in s.clear() and b"STARTTLS" in s.clear().upper()
        s.stop()


def test_messages_of_a_session_are_numbered():
    with sink() as s:
        c = client(s, "587")
        c.login(s.USER, s.PASSWORD)
        for _ in range(2):
            c.sendmail("a@example.com", ["b@example.net"], MAIL)
        send(s)
        first, second, other = s.messages()
        assert (first.session, first.began) == (second.session, second.began)
        assert (first.number, second.number, other.number) == (1, 2, 1)
        assert first.at < second.at < other.began


def test_large_message_and_long_line():
    with sink() as s:
        body = b"Subject: l\r\n\r\n" + b"y" * 300000 + b"\r\n" + b"z" * 70 + b"\r\n"
        c = client(s, "465")
        c.login(s.USER, s.PASSWORD)
        c.sendmail("a@example.com", ["b@example.net"], body)
        assert s.messages()[0].body == body


def test_clear_is_noticed():
    with sink() as s:
        c = smtplib.SMTP("127.0.0.1", s.ports["587"], timeout=20)
        c.ehlo()
        assert "auth" not in c.esmtp_features
        assert c.docmd("AUTH PLAIN AAAA")[0] == 538
        assert c.docmd("MAIL FROM:<secret@example.com>")[0] == 530
        n = s.stats("587")
        assert n["clear_auth"] == 1 and n["clear_mail"] == 1, n
        assert b"secret@example.com" in s.clear()


def test_wrong_password():
    with sink() as s:
        c = client(s, "587")
        expect_error(535, c.login, s.USER, "wrong")
        assert s.stats("587")["logins_refused"] > 0


def test_listening():
    with sink() as s:
        s.set("587", "listen", "refuse")
        expect(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", s.ports["587"]), 5)
        s.set("587", "listen", "filtered")
        expect(TimeoutError, socket.create_connection, ("127.0.0.1", s.ports["587"]), 0.5)
        s.reset("587")
        send(s)
        assert len(s.messages()) == 1


def test_greeting():
    with sink() as s:
        for code in (421, 554):
            s.fault("587", "greeting", code)
            expect_error(code, smtplib.SMTP, "127.0.0.1", s.ports["587"], timeout=20)
            s.reset("587")
        s.fault("587", "greeting", "hang")
        c = socket.create_connection(("127.0.0.1", s.ports["587"]), 5)
        c.settimeout(0.3)
        expect(TimeoutError, c.recv, 1)
        s.reset("587")
        s.fault("587", "greeting", "cut")
        assert socket.create_connection(("127.0.0.1", s.ports["587"]), 5).recv(1) == b""


def test_starttls():
    with sink() as s:
        for how in ("missing", "blanked"):
            s.set("587", "starttls", how)
            c = smtplib.SMTP("127.0.0.1", s.ports["587"], timeout=20)
            c.ehlo()
            assert "starttls" not in c.esmtp_features
            assert ("xxxxxxxx" in c.esmtp_features) == (how == "blanked")
        s.reset("587")
        s.fault("587", "starttls", 454)
        c = smtplib.SMTP("127.0.0.1", s.ports["587"], timeout=20)
        assert c.docmd("EHLO x")[0] == 250 and c.docmd("STARTTLS")[0] == 454
        s.reset("587")
        s.set("587", "starttls", "inject")
        raw = socket.create_connection(("127.0.0.1", s.ports["587"]), 5)
        raw.recv(1000)
        raw.sendall(b"EHLO x\r\n")
        raw.recv(1000)
        raw.sendall(b"STARTTLS\r\n")
        assert raw.recv(1000).count(b"\r\n") == 2


def test_certificates():
    with sink() as s:
        for name, word in (("expired", "expired"), ("self-signed", "self-signed"),
                           ("wrong-name", "not valid for"), ("wrong-use", "purpose")):
            for port in ("587", "465"):
                s.set(port, "cert", name)
                why = expect(ssl.SSLCertVerificationError, client, s, port)
                assert word in why or word.replace("-", " ") in why, why
        for port in s.ports:
            s.reset(port)
            client(s, port)


def test_swapped():
    with sink() as s:
        s.set("587", "tls", "swapped")
        with s.context.wrap_socket(socket.create_connection(("127.0.0.1", s.ports["587"]), 5),
                                   server_hostname="localhost") as t:
            assert t.recv(1000).startswith(b"220 ")
        s.set("465", "tls", "swapped")
        expect(ssl.SSLError, client, s, "465")


def test_codes_and_patterns():
    with sink() as s:
        for step, code in (("auth", 535), ("auth", 454), ("mail", 451), ("mail", 550),
                           ("rcpt", 451), ("rcpt", 550), ("data", 451), ("data", 554),
                           ("dot", 451), ("dot", 554)):
            s.fault("587", step, code)
            expect_error(code, send, s)
            s.reset("587")
            send(s)
        before = len(s.messages())
        s.fault("587", "rcpt", 550, match="*@bad.example", text="5.1.1 no such user here")
        refused = send(s, to=["x@bad.example", "y@good.example"])
        assert refused == {"x@bad.example": (550, b"5.1.1 no such user here")}, refused
        assert s.messages()[before].to == ["y@good.example"]
        s.fault("587", "dot", 451, match="z@*", times=1)
        send(s)
        expect_error(451, send, s, to=["w@c.example", "z@c.example"])
        send(s, to=["z@c.example"])


def test_cut_and_hang():
    with sink() as s:
        s.fault("587", "body", "cut")
        expect(smtplib.SMTPServerDisconnected, send, s)
        assert s.messages() == []
        s.reset("587")
        s.fault("587", "dot", "cut")
        expect(smtplib.SMTPServerDisconnected, send, s)
        assert [m.acknowledged for m in s.messages()] == [False]
        s.reset("587")
        s.fault("587", "dot", "hang")
        c = client(s, "587")
        c.login(s.USER, s.PASSWORD)
        start = s.mark()
        assert c.mail("a@x.example")[0] == 250 and c.rcpt("b@x.example")[0] == 250
        assert c.docmd("DATA")[0] == 354
        c.send(MAIL + b".\r\n")
        s.wait_received(1, start)
        c.sock.settimeout(0.3)
        expect((TimeoutError, smtplib.SMTPServerDisconnected), c.getreply)
        assert [m.acknowledged for m in s.messages()] == [False, False]
        start = s.mark()
        s.cut("587")
        s.wait_line("closed 587", start)


def test_slow():
    with sink() as s:
        s.set("587", "delay", 20)
        send(s)
        s.set("587", "delay", 0)
        s.set("587", "trickle", 2)
        send(s)
        assert len(s.messages()) == 2


def test_violations():
    with sink() as s:
        c = client(s, "587")
        c.login(s.USER, s.PASSWORD)
        assert c.docmd("MAIL FROM:<a@x.example>")[0] == 250
        assert c.docmd("RCPT TO:<b@x.example>")[0] == 250
        assert c.docmd("DATA")[0] == 354
        c.send(b"bare\nfeed\r\nbare\rreturn\r\nhigh \xff\r\n.\r\n")
        assert c.getreply()[0] == 250
        for word in ("line of the message without CR", "CR within", "8-bit bytes not declared"):
            s.wait_line(f"violation .*{word}")


def test_ends_with_its_parent():
    with sink() as s:
        s.stop()
        assert pathlib.Path(s.dir / "mail").is_dir()


lib.run_tests(globals())

# SPDX-License-Identifier: BSD-2-Clause
"""DSN and SMTPUTF8, from a client of Python's own to the smarthost, or to our reports."""

import email.message

import lib

DSN = "PIPELINING,SIZE_52428800,8BITMIME,ENHANCEDSTATUSCODES,DSN"
UTF8 = "PIPELINING,SIZE_52428800,8BITMIME,SMTPUTF8"
BOB, CAROL = "bob@example.net", "carol@example.net"


def offering(extensions):
    def before(sink):
        for port in sink.ports:
            sink.set(port, "extensions", extensions)
    return before


def submit(posthouse, token, options=(), to=((BOB, ()),), sender="alice@example.com", body=None):
    """One message with parameters; bytes of addresses as they are."""
    with posthouse.client() as c:
        c.command_encoding = "utf-8"
        c.ehlo()
        for extension in ("dsn", "smtputf8", "chunking"):
            assert c.has_extn(extension), c.ehlo_resp
        posthouse._expect(c.mail(sender, options), 250)
        for rcpt, said in to:
            posthouse._expect(c.rcpt(rcpt, said), 250)
        code, text = c.data(body or lib.message(token))
        posthouse._expect((code, text), 250)
        return lib.queue_id(text)


def of_sender(sink, sender):
    return [m for m in sink.messages() if m.sender == sender]


def no_violations(sink):
    for port in sink.ports:
        assert sink.stats(port)["violations"] == 0, (port, sink.stats(port))


def test_passed_on():
    """A server with DSN gets it all, and the reports are its business."""
    with lib.world("dsn", before=offering(DSN)) as (sink, posthouse):
        token = lib.new_token()
        submit(posthouse, token, ["RET=FULL", "ENVID=QQ+2B3"], (
            (BOB, ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Bob+40example.net"]), (CAROL, [])))
        sink.wait_received(1)
        posthouse.stop()
        [m] = sink.messages()
        assert "RET=FULL" in m.parameters and "ENVID=QQ+2B3" in m.parameters, m.parameters
        assert m.parameters_of == {BOB: "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+40example.net"}
        assert lib.is_whole(m, token)
        no_violations(sink)


def test_reports_of_ours():
    """A server without DSN gets nothing of it: refusals and success are ours to tell."""
    with lib.world("reports") as (sink, posthouse):
        for port in sink.ports:
            sink.fault(port, "rcpt", 550, match="no*", text="5.1.1 unknown")
        token = lib.new_token()
        name = submit(posthouse, token, ["RET=FULL", "ENVID=QQ+20one"], (
            (BOB, ["NOTIFY=SUCCESS", "ORCPT=rfc822;Bob+2Bx@example.net"]), (CAROL, ["NOTIFY=NEVER"]),
            ("no1@example.net", ["NOTIFY=NEVER"]), ("no2@example.net", ["NOTIFY=SUCCESS"]),
            ("no3@example.net", ["ORCPT=rfc822;Three@example.net"])))
        sink.wait_received(2)
        [m] = of_sender(sink, "alice@example.com")
        assert m.to == [BOB, CAROL] and not m.parameters_of, (m.to, m.parameters_of)
        assert "RET" not in m.parameters and "ENVID" not in m.parameters, m.parameters
        [report] = of_sender(sink, "")
        text = report.body.decode()
        assert report.to == ["alice@example.com"]
        assert "\r\nOriginal-Envelope-Id: QQ one\r\n" in text, text
        assert ("Original-Recipient: rfc822; Bob+x@example.net\r\nFinal-Recipient: rfc822; bob@example.net\r\n"
                "Action: relayed\r\nStatus: 2.1.9\r\n") in text, text
        assert ("Original-Recipient: rfc822; Three@example.net\r\nFinal-Recipient: rfc822; no3@example.net\r\n"
                "Action: failed\r\nStatus: 5.1.1\r\n") in text, text
        for other in ("carol@", "no1@", "no2@"):
            assert f"Final-Recipient: rfc822; {other}" not in text, text
        assert "Content-Type: message/rfc822\r\n" in text and f"end {token}\r\n" in text, text
        posthouse.process.wait_line(f"reported .*id={name}")

        # success alone, the header alone; and nothing at all
        name = submit(posthouse, lib.new_token(), ["RET=HDRS"], ((BOB, ["NOTIFY=SUCCESS,FAILURE"]),))
        sink.wait_received(4)
        [report] = [m for m in of_sender(sink, "") if name in m.body.decode()]
        text = report.body.decode()
        assert report.header("Subject") == "Your message was passed on", text
        assert "Action: relayed" in text and "message/rfc822" not in text and "\r\nbegin " not in text, text
        name = submit(posthouse, lib.new_token(), to=(("no4@example.net", ["NOTIFY=NEVER"]),))
        posthouse.process.wait_line(f"report-dropped .*id={name} .*why=not-wanted")
        name = submit(posthouse, lib.new_token(), ["RET=FULL"], ((BOB, ["NOTIFY=NEVER"]),))
        posthouse.process.wait_line(f"delivered .*id={name}")
        posthouse.stop()
        assert len(sink.messages()) == 5, [m.sender for m in sink.messages()]
        no_violations(sink)


def returned(sink, name):
    """The report of this message, and of it: words, type of the part that is the original, the original."""
    [m] = [m for m in of_sender(sink, "") if name in m.body.decode("latin-1")]
    words, _, part = email.message_from_bytes(m.body).get_payload()
    raw = m.body.split(b"\r\n\r\n", 1)[1]
    boundary = raw.split(b"\r\n")[2]
    return m, words.get_payload(), part.get_content_type(), raw.split(boundary)[3].split(b"\r\n\r\n", 1)[1]


def test_what_goes_back():
    """RET=FULL: all of it, of any length up to the limit, and 8-bit as it is; beyond the limit the header, and a word."""
    with lib.world("returned", limits={"returned_message": "1M"}) as (sink, posthouse):
        for port in sink.ports:
            sink.fault(port, "rcpt", 550, match="bob*", text="5.1.1 unknown")
        line = b"0123456789 " * 6 + b"\r\n"
        for kind, body in (("long", line * 10000), ("8-bit", "caf\u00e9 \u20ac\r\n".encode() * 20000),
                           ("beyond", line * 17000), ("long lines", b"x" * 2000 + b"\r\n")):
            start = sink.mark()
            body = b"Subject: it\r\n\r\n" + body
            name = submit(posthouse, "", ["RET=FULL"], body=body)
            sink.wait_received(1, start)
            m, words, form, text = returned(sink, name)
            assert ("BODY=8BITMIME" in m.parameters) == (kind == "8-bit"), (kind, m.parameters)
            if kind in ("long", "8-bit"):
                assert form == "message/rfc822" and "The message is attached." in words, (kind, form, words)
                assert text.endswith(body + b"\r\n"), (kind, text[:200], text[-200:])
            else:
                assert form == "text/rfc822-headers" and "It was to come back whole, but " in words, (kind, words)
                assert b"\r\nSubject: it\r\n" in b"\r\n" + text and len(text) < 2000, (kind, text[:200])
        no_violations(sink)


def test_success_is_told_after_a_restart():
    """What was said, and what became of the first recipient, is in the spool."""
    with lib.world("later") as (sink, posthouse):
        for port in sink.ports:
            sink.fault(port, "rcpt", 450, match="carol*", text="4.2.0 later")
        name = submit(posthouse, lib.new_token(), ["ENVID=late"], (
            (BOB, ["NOTIFY=SUCCESS"]), (CAROL, ["NOTIFY=SUCCESS"])))
        posthouse.process.wait_line(f"deferred .*id={name}")
        sink.wait_received(1)
        posthouse.kill()
        for port in sink.ports:
            sink.command(f"reset {port}")
        posthouse.start()
        posthouse.ctl("flush")
        sink.wait_received(3)
        posthouse.stop()
        [report] = of_sender(sink, "")
        text = report.body.decode()
        assert text.count("Action: relayed") == 2 and "Original-Envelope-Id: late\r\n" in text, text


def test_success_is_told_of_the_rest():
    """What was passed on is told although the others are removed, or end in the sink."""
    with lib.world("rest") as (sink, posthouse):
        for port in sink.ports:
            sink.fault(port, "rcpt", 450, match="carol*", text="4.2.0 later")
            sink.fault(port, "rcpt", 550, match="dave*", text="5.1.1 unknown")
        name = submit(posthouse, lib.new_token(), (), (
            (BOB, ["NOTIFY=SUCCESS"]), (CAROL, ()), ("dave@example.net", ())))
        posthouse.process.wait_line(f"deferred .*id={name}")
        posthouse.ctl("hold", name)
        posthouse.ctl("remove", name)
        posthouse.process.wait_line(f"reported .*id={name}")
        sink.wait_received(2)
        [report] = of_sender(sink, "")
        text = report.body.decode()
        # "Without a bounce": of dave's failure nothing is said.
        assert text.count("Action: ") == 1 and "Action: relayed" in text, text

        name = submit(posthouse, lib.new_token(), (), ((BOB, ["NOTIFY=SUCCESS"]), (CAROL, ())))
        posthouse.process.wait_line(f"deferred .*id={name}")
        posthouse.settings["staging"] = "sink"
        posthouse.write_config()
        posthouse.ctl("reload")
        posthouse.process.wait_line(f"sunk .*id={name}")
        posthouse.process.wait_line(f"reported .*id={name}")
        posthouse.stop()


def test_lost_report():
    """The sender can't be reached with the report: the administrator gets it, and what it told."""
    with lib.world("lost", admin="admin@example.com") as (sink, posthouse):
        submit(posthouse, lib.new_token(), ["SMTPUTF8"], sender="ü@example.com")
        sink.wait_received(1)
        for port in sink.ports:
            sink.fault(port, "rcpt", 550, text="5.1.1 unknown")
        mark = posthouse.process.mark()
        submit(posthouse, lib.new_token())
        posthouse.process.wait_line("report-dropped .*nobody-else-to-tell", mark)
        posthouse.stop()
        [report] = sink.messages()
        text = report.body.decode()
        assert report.sender == "" and report.to == ["admin@example.com"], vars(report)
        assert "Final-Recipient: utf-8; \\x{FC}@example.com\r\nAction: failed\r\nStatus: 5.6.7\r\n" in text, text
        # The words are ours, no server's.
        assert "Remote-MTA" not in text and "Diagnostic-Code: smtp" not in text, text
        assert "Diagnostic-Code: x-posthouse; not sent: " in text, text
        assert "Content-Type: message/global\r\n" in text and "Final-Recipient: rfc822; bob@example.net" in text, text


UTF8_BODY = "From: é@example.com\r\nX-Token: %s\r\nSubject: größer\r\n\r\nbody\r\n"


def test_utf8():
    with lib.world("utf8", before=offering(UTF8)) as (sink, posthouse):
        token = lib.new_token()
        submit(posthouse, token, ["SMTPUTF8", "BODY=8BITMIME"], (("jürgen@müller.example", ["ORCPT=utf-8;jürgen@x"]),),
               "é@example.com", (UTF8_BODY % token).encode())
        with posthouse.client() as c:           # as smtplib does it
            c.send_message(_letter(), "alice@example.com", ["größe@example.net"])
        for port in sink.ports:
            sink.fault(port, "rcpt", 550, match="fails*", text="5.1.1 unknown")
        submit(posthouse, token, ["SMTPUTF8"], (("fails@example.net", []),), "é@example.com")
        sink.wait_received(3)
        posthouse.stop()
        [m] = of_sender(sink, "é@example.com")
        assert m.to == ["jürgen@müller.example"] and "SMTPUTF8" in m.parameters, (m.to, m.parameters)
        assert m.body.decode().endswith((UTF8_BODY % token).partition("\r\n")[2]), m.body
        assert "with UTF8SMTP id" in m.header("Received"), m.header("Received")
        [m] = of_sender(sink, "alice@example.com")
        assert m.to == ["größe@example.net"], m.to
        [m] = of_sender(sink, "")               # a report is never in the way of its sender's address
        assert m.to == ["é@example.com"] and "SMTPUTF8" in m.parameters, (m.to, m.parameters)
        no_violations(sink)


def _letter():
    letter = email.message.EmailMessage()
    letter["Subject"] = "hello"
    letter.set_content("body\n")
    return letter


def test_utf8_where_it_is_not_taken():
    """What needs it fails with its reason; what does not goes as any message."""
    with lib.world("ascii") as (sink, posthouse):
        submit(posthouse, "x", ["SMTPUTF8"], (("ü@example.net", []), (BOB, [])))
        sink.wait_received(2)
        [m] = of_sender(sink, "alice@example.com")
        assert m.to == [BOB] and "SMTPUTF8" not in m.parameters, (m.to, m.parameters)
        [report] = of_sender(sink, "")
        text = report.body.decode("ascii")
        assert "Final-Recipient: utf-8; \\x{FC}@example.net\r\nAction: failed\r\nStatus: 5.6.7\r\n" in text, text
        assert "SMTPUTF8" in text and "rfc822; bob@" not in text, text

        # a header beyond ASCII
        name = submit(posthouse, "x", ["SMTPUTF8"], body=(UTF8_BODY % "x").encode())
        sink.wait_received(3)
        [report] = [m for m in of_sender(sink, "") if name in m.body.decode()]
        assert "Status: 5.6.7\r\n" in report.body.decode("ascii"), report.body
        # the same without SMTPUTF8 is sent as ever, and a body is no header
        submit(posthouse, "y", body=(UTF8_BODY % "y").encode())
        submit(posthouse, "z", ["SMTPUTF8"], body=b"X-Token: z\r\n\r\n" + "größer\r\n".encode())
        sink.wait_received(5)
        posthouse.stop()
        got = sorted(m.header("X-Token") for m in of_sender(sink, "alice@example.com") if m.to == [BOB])
        assert got[-2:] == ["y", "z"], got


lib.run_tests(globals())

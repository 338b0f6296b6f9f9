# SPDX-License-Identifier: BSD-2-Clause
"""Hostile and unlucky local clients of the real daemon: what comes in, what it costs, who else
is served meanwhile."""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading

import lib
from lib import Failure

MIB = 1 << 20
# A sanitizer's memory says nothing about ours.
SANITIZED = any(word in lib.program("posthoused").read_bytes()
                for word in (b"__asan_init", b"__tsan_init"))


def expect(condition, what):
    if not condition:
        raise Failure(what)


class Client:
    """A connection without any manners of its own."""

    def __init__(self, posthouse=None, to=None, greet=True, source=None, buffer=None):
        family = socket.AF_UNIX if isinstance(to, str) else \
            socket.AF_INET6 if to and ":" in to[0] else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(lib.PATIENCE)
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(to or ("127.0.0.1", posthouse.port.number))
        self.lines = self.socket.makefile("rb")
        if greet:
            self.wants("220 ")

    def reply(self):
        """Its last line; b"" at the end of the connection."""
        try:
            line = self.lines.readline()
            while line[3:4] == b"-":
                line = self.lines.readline()
        except ConnectionResetError:
            return b""
        return line

    def wants(self, *beginnings):
        for begin in beginnings:
            got = self.reply()
            expect(got.startswith(begin.encode()), f"wanted {begin!r}, got {got!r}")
        return self

    def say(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def begin(self, to="bob@example.net", how="DATA"):
        """Everything up to the message itself."""
        self.say("EHLO x.example\r\n").wants("250 ")
        self.say(f"MAIL FROM:<alice@example.com>\r\nRCPT TO:<{to}>\r\n{how}\r\n")
        return self.wants("250 2.1.0", "250 2.1.5", *(["354 "] if how == "DATA" else []))

    def end(self):
        """Half-close; everything it still says."""
        self.socket.shutdown(socket.SHUT_WR)
        return self.rest()

    def rest(self):
        try:
            return self.lines.read()
        except ConnectionResetError:
            return b""

    def reset(self):
        self.lines.close()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.lines.close()
        self.socket.close()


def in_memory(posthouse, role):
    """Most memory that it had so far."""
    text = pathlib.Path(f"/proc/{posthouse.roles()[role]}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text).group(1)) << 10


def expect_memory(posthouse, role, limit):
    most = in_memory(posthouse, role)
    expect(SANITIZED or most < limit, f"{role} took {most >> 10} KiB of memory")


def seconds_used(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(posthouse):
    return len(os.listdir(f"/proc/{posthouse.roles()['intake']}/fd"))


def expect_descriptors(posthouse, count):
    """Connections that are gone cost nothing, as soon as the loop has looked at them."""
    probe = Client(posthouse)
    for _ in range(10000):
        probe.say("NOOP\r\n").wants("250 2.0.0")
        if descriptors(posthouse) <= count + 1:
            break
    else:
        raise Failure(f"{descriptors(posthouse)} descriptors are left, {count} were there")
    probe.close()


# --- what comes in ----------------------------------------------------------------------

def test_octets_are_kept():
    with lib.world("octets", endpoints=("465",)) as (sink, posthouse):
        every = bytes(b for b in range(1, 256) if b not in b"\r\n")
        body = (b"Date: today\r\nMessage-ID: <a@b>\r\nBcc: stays@example.net\r\nX-Long: "
                + b"h" * 200000 + b"\r\n\r\n" + every + b" \t \r\n" + b"L" * 1500000 +
                b"\r\n..two dots\r\n.\x2e.\r\n\r\n\r\n")
        c = Client(posthouse).begin()
        c.say(body.replace(b"\r\n.", b"\r\n..") + b".\r\n").wants("250 2.0.0")
        sink.wait_received(1)
        [m] = sink.messages()
        received, _, rest = m.body.partition(b"\r\nDate: ")
        expect(b"Date: " + rest == body, "the message was changed")
        expect(received.startswith(b"Received: from x.example (127.0.0.1:"), f"{received!r}")
        expect("BODY=8BITMIME" in m.parameters, m.parameters)


ODD_RECIPIENTS = (
    '"bob@home"@Example.NET', "Bob+Tag@example.net", "bob+tag@example.net", "%s%n@example.net",
    '"|touch run/executed"@example.net', "`touch$IFS./executed`@example.net", "$HOME@example.net",
    "/etc/passwd@example.net", '":include:/etc/passwd"@example.net', "~root@example.net",
)


def test_envelope_survives():
    """Addresses are text: case, quotes and marks arrive, nothing is run or opened for them."""
    sender = '"Alice \\"A\\" B."@Example.COM'
    with lib.world("envelope", endpoints=("465",)) as (sink, posthouse):
        c = Client(posthouse).say(f"EHLO x\r\nMAIL FROM:<{sender}> BODY=8BITMIME\r\n")
        c.wants("250 ", "250 2.1.0")
        c.say("".join(f"RCPT TO:<{to}>\r\n" for to in ODD_RECIPIENTS))
        c.wants(*["250 2.1.5"] * len(ODD_RECIPIENTS))
        c.say("DATA\r\nSubject: x\r\n\r\nonly ASCII\r\n.\r\nQUIT\r\n").wants("354 ", "250 2.0.0", "221 ")
        sink.wait_received(1)
        [m] = sink.messages()
        expect(m.sender == sender and m.to == list(ODD_RECIPIENTS), f"{m.sender} {m.to}")
        expect("BODY" not in m.parameters, m.parameters)
        expect(not list(posthouse.place.rglob("executed")), "an address was executed")


COMMANDS = (
    ("NOOP x", "250 2.0.0"), ("VRFY bob", "252 2.0.0"), ("HELP", "214 2.0.0"),
    ("EXPN bob", "502 5.5.1"), ("AUTH PLAIN", "502 5.5.1"), ("STARTTLS", "502 5.5.1"),
    ("BDAT 0 LAST", "503 5.5.1"), ("XYZZY", "500 5.5.1"), ("", "500 5.5.2"),
    ("MAIL FROM:<a@b>\0", "500 5.5.2"), ("MAIL FROM:<a@b>\x1b[2J", "500 5.5.2"),
    ("MAIL FROM:<<a@b>>", "501 5.1.7"), ("MAIL FROM:<a@b@c>", "501 5.1.7"),
    ("MAIL FROM:<@b>", "501 5.1.7"), ("MAIL FROM:<a@[192.0.2.1>", "501 5.1.7"),
    ("MAIL FROM:<a(x)@b>", "501 5.1.7"), ("MAIL FROM:<a@b", "501 5.1.7"),
    ("MAIL FROM:<\xe9@b>", "501 5.1.7"), ("MAIL FROM:<\xc3\xa9@b>", "553 5.6.7"),
    ("MAIL FROM:<a@[192.0.2.256]>", "501 5.1.7"), ("MAIL FROM:<a@b> SIZE=1 SIZE=1", "501 5.5.4"),
    ("MAIL FROM:<a@b> SIZE=99999999999999999999", "552 5.3.4"),
    ("MAIL FROM:<a@b> SIZE=26214401", "552 5.3.4"), ("MAIL FROM:<a@b> XYZZY=1", "555 5.5.4"),
    ("RCPT TO:<a@b>", "503 5.5.1"), ("DATA", "503 5.5.1"),
    ("MAIL FROM:<>", "250 2.1.0"), ("MAIL FROM:<>", "503 5.5.1"), ("RCPT TO:<>", "501 5.1.3"),
    ("DATA", "554 5.5.1"), ("RCPT TO:<\"quoted> @\"@b>", "250 2.1.5"),
    ("RCPT TO:<@relay.example,@b:c@d>", "250 2.1.5"), ("RSET", "250 2.0.0"), ("RSET", "250 2.0.0"),
    ("EHLO", "501 5.5.4"), ("EHLO again.example", "250 "), ("QUIT now", "501 5.5.4"),
    ("QUIT", "221 2.0.0"),
)


def test_replies():
    with lib.world("replies", before=lib.Sink.refuse_all, limits={"errors": 100}) as (_, posthouse):
        c = Client(posthouse).say("EHLO x\r\n").wants("250 ")
        for command, reply in COMMANDS:
            c.say(command.encode("latin-1") + b"\r\n")
            got = c.reply()
            expect(got.startswith(reply.encode()), f"{command!r}: wanted {reply}, got {got!r}")
            expect(re.fullmatch(rb"[ -~]+\r\n", got), f"{command!r}: {got!r}")
        expect(c.rest() == b"", "it goes on after QUIT")
        log = posthouse.process.text()
        expect("\x1b" not in log and "\0" not in log, "control characters in the log")


def test_chunks():
    """RFC 3030: what comes by BDAT arrives as what comes by DATA; counted bytes are never commands."""
    with lib.world("chunks") as (sink, posthouse):
        c = Client(posthouse).begin(how="BDAT 26")
        c.say(b"X-Token: one\r\n\r\nfirst\r\n.\r\nBDAT 33\r\nMAIL FROM:<eve@example.org>\nQUIT\r"
              b"BDAT 6 LAST\r\n\n\xe9 end")
        c.wants("250 2.0.0 26 bytes", "250 2.0.0 33 bytes", "250 2.0.0 Ok: queued")
        # refused ones are read over, whatever is in them
        c.say(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n").wants("503 5.5.1", "250 2.0.0 Ok\r\n")
        # taken back, and cut off, between chunks and within one
        c.begin(how="BDAT 10").say("X-Token: tRSET\r\n").wants("250 2.0.0 10 bytes", "250 2.0.0 Forgotten")
        for end in (b"", b"BDAT 100 LAST\r\nhalf"):
            Client(posthouse).begin(how="BDAT 10").say(b"X-Token: t" + end).close()
        # a number beyond all numbers
        said = c.say(b"BDAT 99999999999999999999 LAST\r\nNOOP\r\n").end()
        expect(said.startswith(b"501 5.5.4") and said.count(b"\r\n") == 1, f"{said!r}")
        c = Client(posthouse).begin(how="BDAT 27000000").wants("552 5.3.4")
        for _ in range(27):
            c.say(b"x" * 1000000)
        c.say("NOOP\r\n").wants("250 2.0.0 Ok\r\n")
        sink.wait_received(1)
        posthouse.stop()
        [m] = sink.messages()
        expect(m.text() == b"first\r\n.\r\nMAIL FROM:<eve@example.org>\r\nQUIT\r\n\xe9 end\r\n", f"{m.text()!r}")
        for port in sink.ports:
            expect(sink.stats(port)["violations"] == 0, f"{port}")


def test_other_protocols():
    """None of what follows is run as commands."""
    later = b"\r\nMAIL FROM:<eve@x>\r\n"
    with lib.world("other", before=lib.Sink.refuse_all) as (_, posthouse):
        for first, reply in ((b"GET / HTTP/1.1\r\nHost: x\r\n", b"554 5.5.1"),
                             (b"POST / HTTP/1.1\r\n", b"554 5.5.1"),
                             (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"554 5.5.1")):
            said = Client(posthouse).say(first + later).end()
            expect(said.startswith(reply) and said.count(b"\r\n") == 1, f"{first!r}: {said!r}")
        for reason in ("This is SMTP", "TLS is not spoken on this port"):
            posthouse.process.wait_line(rf'refused code=554 reason="5\.5\.1 {reason}" peer=127\.0\.0\.1:\d+ uid={os.getuid()} ')
        said = Client(posthouse).say(b"\0" * 1000 + b"\r\nQUIT\r\n").end()
        expect(said.startswith(b"500 5.5.2") and said.endswith(b"221 2.0.0 Bye\r\n"), f"{said!r}")
        c = Client(posthouse).say(b"NOOP " + b"QUIT\r" * (MIB // 5) + b"\r\nNOOP\r\n")
        c.wants("500 5.5.2 Line too long", "250 2.0.0")
        expect_memory(posthouse, "intake", 32 * MIB)


def test_ways_in():
    with lib.world("ways", listen=["127.0.0.1:0", "[::1]:0"]) as (sink, posthouse):
        own = f"uid {os.getuid()}"
        ways = [(str(posthouse.place / "run/smtp.sock"), rf"\(unix, {own}\)")]
        for line in posthouse.process.lines:
            if m := re.search(r'listening reason="127\.0\.0\.1:(\d+)', line):
                ways.append((("127.0.0.1", int(m.group(1))), rf"\(127\.0\.0\.1:\d+, {own}\)"))
            if m := re.search(r'listening reason="\[::1\]:(\d+)', line):
                ways.append((("::1", int(m.group(1))), rf"\(\[::1\]:\d+, {own}\)"))
        expect(len(ways) >= 2, "it listens nowhere")
        for number, (way, _) in enumerate(ways):
            c = Client(to=way).begin()
            c.say(f"X-Token: way{number}\r\n\r\nx\r\n.\r\nQUIT\r\n").wants("250 2.0.0", "221 ")
        sink.wait_received(len(ways))
        got = {m.header("X-Token"): m.header("Received") for m in sink.messages()}
        for number, (_, trace) in enumerate(ways):
            expect(re.search(trace, got[f"way{number}"]), f"{got}")


# --- who it is ---------------------------------------------------------------------------

STRANGER = 65532


@contextlib.contextmanager
def user(uid):
    """What is connected within is that user's: the kernel goes by who makes the socket."""
    if uid != os.getuid():
        os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(os.getuid())


def users():
    """Those that a test can be."""
    return (os.getuid(), STRANGER) if os.getuid() == 0 else (os.getuid(),)


def test_users():
    """Over TCP, too, the kernel names the user; who has closed the connection at once has no name."""
    with lib.world("users", before=lib.Sink.refuse_all) as (sink, posthouse):
        log = posthouse.process
        for uid in users():
            with user(uid):
                c = Client(posthouse).begin(f"u{uid}@example.net")
            c.say("Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n").wants("250 2.0.0", "221 ")
            line = log.wait_line(rf"accepted .* peer=127\.0\.0\.1:\d+ uid={uid} s=")
            told = posthouse.ctl("explain", lib.queue_id(line.encode()))
            expect(told["uid"] == uid, told)
        # While intake stands still the connection waits; its end is closed when intake sees it.
        intake = posthouse.roles()["intake"]
        os.kill(intake, signal.SIGSTOP)
        c = Client(posthouse, greet=False)
        c.say("EHLO x\r\nMAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n"
              "Subject: x\r\n\r\nx\r\n.\r\n")
        c.socket.shutdown(socket.SHUT_WR)
        os.kill(intake, signal.SIGCONT)
        expect(b"\r\n250 2.0.0 Ok: queued" in c.rest(), "it was not accepted")
        line = log.wait_line(r"accepted .* peer=127\.0\.0\.1:\d+ no_uid=closed s=")
        told = posthouse.ctl("explain", lib.queue_id(line.encode()))
        expect(told["uid"] is None and told["no_uid"] == "closed", told)


def test_process():
    """Of a client of the unix socket its process is told, by the supervisor; whatever it is called."""
    with lib.world("process", before=lib.Sink.refuse_all) as (_, posthouse):
        log = posthouse.process
        mark = log.mark()
        posthouse.sendmail(["bob@example.net"], b"Subject: x\n\nx\n")
        line = log.wait_line(r"accepted .* peer=unix uid=\d+ s=\d+ process=\"posthouse-sendm", mark)
        told = posthouse.ctl("explain", lib.queue_id(line.encode()))
        expect(told["process"].startswith("posthouse-sendm"), told)
        expect("by the process posthouse-sendm" in told["history"][0]["what"], told)
        # With a name that would forge a line.
        script = ("import ctypes, socket, sys\n"
                  "ctypes.CDLL(None).prctl(15, b'x\\n\"id=1 uid=0', 0, 0, 0)\n"
                  "s = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.recv(99)\n"
                  "s.sendall(b'HELO x\\r\\nMAIL FROM:<a@b.c>\\r\\nRCPT TO:<b@b.c>\\r\\nDATA\\r\\nx: y\\r\\n\\r\\n.\\r\\n')\n"
                  "s.recv(999)\ns.shutdown(socket.SHUT_WR)\nwhile s.recv(999): pass")
        mark = log.mark()
        subprocess.run([sys.executable, "-c", script, posthouse.sendmail_env()["POSTHOUSE_SOCKET"]],
                       check=True, timeout=lib.PATIENCE)
        line = log.wait_line("accepted .* peer=unix ", mark)
        expect('process="x?\\"id=1 uid=0' in line, line)


# --- what it costs ----------------------------------------------------------------------


def test_twenty_thousand_recipients():
    with lib.world("recipients", before=lib.Sink.refuse_all, limits={"recipients": 20000}) as (_, posthouse):
        c = Client(posthouse).say("EHLO x\r\nMAIL FROM:<a@b.c>\r\n").wants("250 ", "250 2.1.0")
        start = posthouse.process.mark()
        domain = ".".join(["d" * 60] * 3)
        c.say("".join(f"RCPT TO:<{i}@{domain}>\r\n" for i in range(20000)))
        c.wants(*["250 2.1.5"] * 20000)
        c.say("".join(f"RCPT TO:<more{i}@b.c>\r\n" for i in range(2000)) + "RCPT TO:<0@" + domain +
              ">\r\nDATA\r\n")
        c.wants(*["452 4.5.3"] * 2000, "250 2.1.5", "354 ")
        c.say(b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n").wants("250 2.0.0", "221 ")
        posthouse.process.wait_line("accepted .* rcpts=20000 ", start)
        expect(posthouse.process.text(start).count("refused code=452") <= 200, "the log was flooded")
        expect_memory(posthouse, "intake", 48 * MIB)
        expect_memory(posthouse, "relay", 64 * MIB)


def test_thousand_clients():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    limits = {"connections": 1200, "connections_per_client": 1200, "command_timeout": "10s"}
    with lib.world("thousand", before=lib.Sink.refuse_all, limits=limits) as (_, posthouse):
        before = descriptors(posthouse)
        idle = [Client(posthouse) for _ in range(1000)]
        intake = posthouse.roles()["intake"]
        used = seconds_used(intake)
        posthouse.submit(lib.new_token())
        expect_memory(posthouse, "intake", 48 * MIB)
        for c in idle[:250]:
            c.socket.shutdown(socket.SHUT_WR)
        for c in idle[250:500]:
            c.reset()
        for c in idle[500:750]:
            c.close()
        for c in idle[:250]:
            expect(c.rest() == b"", "a client that has left is spoken to")
        for c in idle[750:]:
            c.wants("421 4.4.2")
            expect(c.rest() == b"", "it is not closed")
        used = seconds_used(intake) - used
        expect(used < 1, f"idle clients cost {used} s")
        expect_descriptors(posthouse, before)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_client_that_never_reads():
    limits = {"command_timeout": "1s"}
    with lib.world("deaf", before=lib.Sink.refuse_all, limits=limits) as (_, posthouse):
        before = descriptors(posthouse)
        deaf = [Client(posthouse, greet=False, buffer=2048) for _ in range(20)]
        for c in deaf:
            with contextlib.suppress(ConnectionError):
                c.say("HELP\r\n" * 100000)    # ends when the daemon hangs up
        posthouse.submit(lib.new_token())
        expect_descriptors(posthouse, before)
        expect_memory(posthouse, "intake", 64 * MIB)


def test_slow_clients():
    """Bytes that trickle in prolong nothing; each step has its end, and it costs no time."""
    limits = {"command_timeout": "1s", "data_timeout": "1s", "transaction_timeout": "2s"}

    def trickle(c, text, every):
        """A byte, and again when nothing came for so long."""
        c.socket.settimeout(every)
        for byte in text * 1000:
            try:
                c.socket.send(bytes([byte]))
                if c.socket.recv(1, socket.MSG_PEEK):
                    break
            except TimeoutError:
                continue
        c.socket.settimeout(lib.PATIENCE)

    with lib.world("slow", before=lib.Sink.refuse_all, limits=limits) as (_, posthouse):
        intake = posthouse.roles()["intake"]
        used = seconds_used(intake)
        silent = Client(posthouse)
        command = Client(posthouse)
        text = Client(posthouse).begin()
        nothing = Client(posthouse).begin()
        threads = [threading.Thread(target=trickle, args=(command, b"x", 0.1)),
                   threading.Thread(target=trickle, args=(text, b"x", 0.1))]
        for t in threads:
            t.start()
        for c in (silent, nothing):
            c.wants("421 4.4.2")
        for t in threads:
            t.join()
        for c in (command, text):
            c.wants("421 4.4.2")
        for c in (silent, command, text, nothing):
            expect(c.rest() == b"", "it is not closed")
        used = seconds_used(intake) - used
        expect(used < 0.5, f"slow clients cost {used} s")


def test_leaving_at_each_step():
    steps = ("EHLO x\r\n", "MAIL FROM:<a@b.c>\r\n", "RCPT TO:<d@e.f>\r\n", "DATA\r\n",
             "Subject: x\r\n\r\nbody\r\n" + "z" * 100000)
    with lib.world("leaving", before=lib.Sink.refuse_all) as (_, posthouse):
        before = descriptors(posthouse)
        for count in range(len(steps) + 1):
            for leave in (Client.reset, Client.close, Client.end):
                c = Client(posthouse)
                for step in steps[:count]:
                    c.say(step)
                    if "Subject" not in step:
                        c.wants("354" if step == "DATA\r\n" else "250")
                said = leave(c)
                expect(not said, f"step {count}: {said!r}")
        c = Client(posthouse).begin().say("Subject: x\r\n\r\nwhole\r\n.\r\n")
        expect(c.end().startswith(b"250 2.0.0"), "a half-closed client does not hear the 250")
        c = Client(posthouse).begin().say("Subject: x\r\n\r\nwhole\r\n.\r\n")
        c.reset()
        posthouse.process.wait_until(lambda lines: sum(" accepted id=" in n for n in lines) == 2,
                                     "both messages in the log")
        expect_descriptors(posthouse, before)
        expect(posthouse.ctl("status")["queue"]["messages"] == 2, "other messages were queued")


def test_more_than_the_limits():
    limits = {"connections": 12, "connections_per_client": 5}
    with lib.world("limits", before=lib.Sink.refuse_all, limits=limits) as (_, posthouse):
        place = str(posthouse.place / "run/smtp.sock")
        tcp = [Client(posthouse, source=f"127.0.0.{i + 1}") for i in range(3)]
        unix = [Client(to=place) for _ in range(2)]
        for source in ("127.0.0.1", "127.0.0.9", "127.255.0.1"):
            Client(posthouse, source=source, greet=False).wants("421 4.3.2 Too many connections from")
        Client(to=place, greet=False).wants("421 4.3.2 Too many connections from")
        for uid in users()[1:]:     # who is not shut out by that
            with user(uid):
                others = [Client(posthouse), Client(to=place)]
            for c in others:
                c.close()
        p = sendmail(posthouse, "bob@example.net")
        expect(p.returncode == 75 and b"421 " in p.stderr, f"{p}")
        p = sendmail(posthouse, "-bs", text=b"QUIT\r\n")
        expect(p.stdout.startswith(b"421 4.3.2"), f"{p}")
        tcp[0].say("QUIT\r\n").wants("221 ")
        expect(tcp[0].rest() == b"", "not closed")
        Client(posthouse).say("QUIT\r\n").wants("221 ")
        for c in unix:
            c.close()
        posthouse.sendmail(["bob@example.net"], b"x\n")


def test_out_of_descriptors():
    """Clients wait in the kernel, nothing spins, and all are served when others leave."""
    with lib.world("descriptors", before=lib.Sink.refuse_all, limits={"command_timeout": "1s"},
                   wrapper=["prlimit", "--nofile=32:32"]) as (_, posthouse):
        posthouse.process.wait_line("limits reason=.* allows 32 descriptors")
        intake = posthouse.roles()["intake"]
        used = seconds_used(intake)
        clients = [Client(posthouse, greet=False) for _ in range(40)]
        for c in clients:
            c.wants("220 ", "421 4.4.2")    # the others are let in when these are timed out
        used = seconds_used(intake) - used
        expect(used < 0.5, f"waiting for descriptors cost {used} s")
        posthouse.submit(lib.new_token())


# --- relay is slow, away or full ----------------------------------------------------------


def send_big(posthouse, size):
    token = lib.new_token()
    c = Client(posthouse).begin()
    c.say(lib.message(token, size=size).replace(b"\r\n.", b"\r\n..") + b".\r\n").wants("250 2.0.0")
    return token


def test_big_messages_at_once():
    """Ten at a time; relay is stopped while they come in, and goes on."""
    size = 12 * MIB
    with lib.world("big", endpoints=("465",)) as (sink, posthouse):
        relay = posthouse.roles()["relay"]
        os.kill(relay, signal.SIGSTOP)
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            sent = [pool.submit(send_big, posthouse, size) for _ in range(10)]
            for _ in range(100):
                Client(posthouse).say("QUIT\r\n").wants("221 ")    # served meanwhile
            os.kill(relay, signal.SIGCONT)
            tokens = {s.result() for s in sent}
        sink.wait_received(10)
        got = sink.messages()
        expect({m.header("X-Token") for m in got} == tokens, "other messages")
        expect(all(lib.is_whole(m, m.header("X-Token")) for m in got), "damaged")
        expect_memory(posthouse, "intake", 48 * MIB)
        expect_memory(posthouse, "relay", 96 * MIB)


def test_relay_killed():
    """Nothing that was not synced is acknowledged, and the connection is good for the next."""
    with lib.world("killed", before=lib.Sink.refuse_all) as (_, posthouse):
        whole = lib.message(lib.new_token(), size=MIB).replace(b"\r\n.", b"\r\n..") + b".\r\n"
        clients = [Client(posthouse).begin().say(whole[:i * 100000]) for i in range(10)]
        start = posthouse.process.mark()
        os.kill(posthouse.roles()["relay"], signal.SIGKILL)
        posthouse.process.wait_line("relay-lost", start)
        for i, c in enumerate(clients):
            c.say(whole[i * 100000:]).wants("451 4.3.0")
        for c in clients:
            c.say("RSET\r\n").wants("250 2.0.0")
            c.begin().say(whole).wants("250 2.0.0")
        expect(posthouse.ctl("status")["queue"]["messages"] == 10, "not the ten acknowledged ones")


def sendmail(posthouse, *argv, text=b"x\n", **who):
    """That does not wait long for a daemon."""
    env = {**posthouse.sendmail_env(), "POSTHOUSE_WAIT": "1",
           "POSTHOUSE_CONTROL": str(posthouse.place / "run/control.sock")}
    return subprocess.run([posthouse.bin / "posthouse-sendmail", *argv], input=text,
                          capture_output=True, env=env, timeout=lib.PATIENCE, **who)


def submit_until_full(posthouse, size):
    """How many were taken before the 452."""
    for count in range(1000):
        c = Client(posthouse).say("EHLO x\r\nMAIL FROM:<a@b.c>\r\n").wants("250 ")
        got = c.reply()
        if got.startswith(b"452 4.3.1 The queue is full"):
            return count
        c.say("RCPT TO:<d@e.f>\r\nDATA\r\n").wants("250 ", "354 ")
        c.say(b"Subject: x\r\n\r\n" + b"x" * size + b"\r\n.\r\n")
        if c.reply().startswith(b"452 4.3.1"):
            return count
        c.close()
    raise Failure("the queue never gets full")


def test_full_queue():
    queue = {"messages_max": 5}
    with lib.world("full", before=lib.Sink.refuse_all, queue=queue) as (sink, posthouse):
        expect(submit_until_full(posthouse, 10) == 5, "another limit")
        posthouse.process.wait_line("mail-not-taken code=452")
        p = sendmail(posthouse, "bob@example.net")
        expect(p.returncode == 75 and b"452 4.3.1" in p.stderr, f"{p}")
        sink.reset_all()
        posthouse.process.wait_line("mail-taken-again")
        posthouse.submit(lib.new_token())
        sink.wait_received(6)


def test_full_disk_quota():
    """Messages that come in side by side do not pass queue.bytes_max together."""
    queue = {"bytes_max": "8M", "segment_size": "1M"}
    limits = {"message_size": "4M"}
    with lib.world("bytes", before=lib.Sink.refuse_all, queue=queue, limits=limits) as (sink, posthouse):
        clients = [Client(posthouse).begin() for _ in range(8)]
        for c in clients:
            c.say(b"Subject: x\r\n\r\n" + b"x" * 3 * MIB + b"\r\n.\r\n")
        replies = [c.reply() for c in clients]
        taken = sum(r.startswith(b"250 2.0.0") for r in replies)
        refused = sum(r.startswith(b"452 4.3.1") for r in replies)
        expect(taken + refused == 8 and taken <= 2, f"{replies}")
        spool = 0
        for f in (posthouse.place / "state/spool/log").iterdir():
            with contextlib.suppress(FileNotFoundError):    # released just now
                spool += f.stat().st_size
        expect(spool <= 10 * MIB, f"the spool has {spool} bytes")
        sink.reset_all()
        sink.wait_received(taken)
        for c in clients:
            c.close()
        if "mail-not-taken" in posthouse.process.text():
            posthouse.process.wait_line("mail-taken-again")
        posthouse.submit(lib.new_token())


def test_sendmail_statuses():
    with lib.world("statuses", before=lib.Sink.refuse_all, limits={"message_size": "1M"}) as (_, posthouse):
        for argv, text, status in (
                (["bob@example.net"], b"Subject: x\n\n" + b"x" * 2 * MIB, 65),
                (["b\udcf6b@example.net"], b"x\n", 65),  # one byte, so no UTF-8
                (["-f", "a@b.c\r\nRCPT TO:<eve@x>", "bob@example.net"], b"x\n", 65),
                (["-t"], b"Subject: x\n\nx\n", 64),
                (["-t"], b"To: <bob@example.net\n\nx\n", 65),
                (["-i", "-X/nowhere", "-OQueueDirectory=/nowhere", "-C/nowhere", "bob"], b"x\n", 0)):
            p = sendmail(posthouse, *argv, text=text)
            expect(p.returncode == status, f"{argv}: {p}")
        expect(posthouse.ctl("status")["queue"]["messages"] == 1, "more than one was queued")
        if os.getuid() == 0:
            p = sendmail(posthouse, "-q", user=1, group=1, extra_groups=[])
            expect(p.returncode == 77 and b"Permission denied" in p.stderr, f"-q: {p}")
        posthouse.stop()
        for argv in (["bob@example.net"], ["-bs"]):
            p = sendmail(posthouse, *argv)
            expect(p.returncode == 75 and b"not running" in p.stderr, f"{argv}: {p}")


lib.run_tests(globals())

# SPDX-License-Identifier: BSD-2-Clause
"""sendmail(8) as its callers use it, against a small SMTP server on a unix socket.

The server keeps what came: envelope and message, bytes as decoded. It can be told
to refuse or to hang up at a step.
"""

import os
import pathlib
import pwd
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

PROGRAM = pathlib.Path(os.environ.get("top_builddir", ".")).resolve() / "posthouse-sendmail"
PATIENCE = 60
BINARY = PROGRAM.read_bytes()
SANITIZED = b"__asan_init" in BINARY or b"__tsan_init" in BINARY  # reserve terabytes of addresses
USER = pwd.getpwuid(os.getuid()).pw_name


class Server:
    """One thread per connection; listens on a path, or on 127.0.0.1 if there is none."""

    def __init__(self, path, replies=None):
        self.replies = replies or {}    # verb -> line to answer with; None: hang up
        self.messages = []
        self.commands = []
        self.data = threading.Event()   # a message has begun
        if path is None:
            self.socket = socket.create_server(("127.0.0.1", 0))
            self.where = "127.0.0.1:%d" % self.socket.getsockname()[1]
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(str(path))
            self.socket.listen(16)
            self.where = str(path)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def answer(self, peer, verb, usual):
        line = self.replies.get(verb, usual)    # a list: one each time, then as usual
        if isinstance(line, list):
            line = line.pop(0) if line else usual
        if line is None:
            raise ConnectionError
        peer.sendall(line.encode() + b"\r\n")
        return line[0]

    def serve(self, peer):
        try:
            with peer, peer.makefile("rb") as lines:
                self.session(peer, lines)
        except OSError:
            pass

    def session(self, peer, lines):
        mail, rcpt = None, []
        if self.answer(peer, "CONNECT", "220 test") != "2":
            return
        for line in lines:
            self.commands.append(line)
            verb = line[:4].upper().decode("latin-1").strip()
            if verb == "DATA":
                if self.answer(peer, "DATA", "354 go on") != "3":
                    continue
                self.data.set()
                body = self.read_message(lines)
                if body is None:
                    return
                if (self.replies.get("DOT", "2") or "lost")[0] == "2":
                    self.messages.append((mail, rcpt, body))
                self.answer(peer, "DOT", "250 2.0.0 id=0123456789abcdef")
                rcpt = []
            elif verb == "MAIL":
                mail = line[len(b"MAIL FROM:<"):line.rindex(b">")].decode("utf-8")
                self.answer(peer, "MAIL", "250 2.1.0 ok")
            elif verb == "RCPT":
                one = line[len(b"RCPT TO:<"):line.rindex(b">")].decode("utf-8")
                if self.answer(peer, "RCPT", "250 2.1.5 ok") == "2":
                    rcpt.append(one)
            elif verb == "QUIT":
                self.answer(peer, "QUIT", "221 2.0.0 bye")
                return
            else:
                self.answer(peer, verb, "250 ok")

    def read_message(self, lines):
        """Until CRLF.CRLF; every line has to end in CRLF."""
        body = []
        for line in lines:
            if not line.endswith(b"\n"):
                return None             # cut off
            if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
                raise AssertionError("bad line %r" % line)
            if line == b".\r\n":
                return b"".join(body)
            body.append(line[1:] if line.startswith(b".") else line)
        return None


class Base(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.servers = 0
        self.server = self.new_server()

    def new_server(self, replies=None, path=""):
        if path == "":
            self.servers += 1
            path = self.directory / f"smtp{self.servers}.sock"
        server = Server(path, replies)
        self.addCleanup(server.close)
        return server

    def environment(self, server, wait="1"):
        return {"PATH": "/usr/bin:/bin", "POSTHOUSE_SOCKET": server.where,
                "POSTHOUSE_WAIT": wait,
                "POSTHOUSE_STATUS": str(self.directory / "status.sock"),
                "POSTHOUSE_CONTROL": str(self.directory / "control.sock")}

    def run_as(self, name, args, text=b"", server=None, **more):
        env = self.environment(server or self.server)
        env.update(more)
        return subprocess.run([name, *args], executable=PROGRAM, input=text, env=env,
                              capture_output=True, timeout=PATIENCE, cwd=self.directory)

    def send(self, args, text, server=None, status=0):
        server = server or self.server
        done = self.run_as("sendmail", args, text, server)
        self.assertEqual(done.returncode, status, done)
        return done

    def sent(self, args, text, server=None):
        """The one message that came of it: sender, recipients, text."""
        server = server or self.server
        before = len(server.messages)
        self.send(args, text, server)
        self.assertEqual(len(server.messages), before + 1)
        return server.messages[-1]

    def refused(self, args, text, status, words, server=None):
        server = server or self.server
        done = self.send(args, text, server, status)
        self.assertIn(words, done.stderr.decode())
        self.assertEqual(done.stderr.count(b"\n"), 1)
        self.assertEqual(server.messages, [])
        return done


MAIL = b"From: a@example.com\nTo: b@example.com\nSubject: s\n\nbody\n"
WIRE = MAIL.replace(b"\n", b"\r\n")


class CommandLines(Base):
    """What programs execute: command line, then sender and recipients that must come of it."""

    TABLE = [
        # PHP mail(), PHPMailer, Drupal, unattended-upgrades, mdadm, logwatch
        ("-t -i", USER, ["b@example.com"]),
        ("-t -i -fweb@example.com", "web@example.com", ["b@example.com"]),
        ("-oi -fweb@example.com -t", "web@example.com", ["b@example.com"]),
        ("-ti", USER, ["b@example.com"]),
        ("-t", USER, ["b@example.com"]),
        ("-oi -t", USER, ["b@example.com"]),
        ("-oem -oi -t", USER, ["b@example.com"]),
        # Ruby mail, Perl Email::Sender, nodemailer, git send-email
        ("-i -f web@example.com -- c@example.com d@example.com", "web@example.com",
         ["c@example.com", "d@example.com"]),
        ("-i -f web@example.com c@example.com", "web@example.com", ["c@example.com"]),
        ("-i c@example.com", USER, ["c@example.com"]),
        # Debian cron, at
        ("-FCronDaemon -i -B8BITMIME -oem root", USER, ["root"]),
        ("root", USER, ["root"]),
        # mutt, s-nail, bsd-mailx, fail2ban
        ("-oem -oi -f web@example.com -N never -R hdrs -B8BITMIME -- c@example.com",
         "web@example.com", ["c@example.com"]),
        ("-i -r web@example.com -- c@example.com", "web@example.com", ["c@example.com"]),
        ("-i -- c@example.com", USER, ["c@example.com"]),
        ("-f web@example.com c@example.com", "web@example.com", ["c@example.com"]),
        # everything else that has an argument, or none
        ("-O DeliveryMode=b -X trace -C file -L tag -p SMTP:host -h 7 -e m -o 7 -oT5d -oAx -oL9 "
         "-d0.1 -Tx -Ac -Dx -GUmnsvcx -V id -M macro c@example.com", USER, ["c@example.com"]),
        ("-bm -om -odb -oep -oew -oeq -oee -o8 -os c@example.com", USER, ["c@example.com"]),
        ("-t -- c@example.com", USER, ["c@example.com", "b@example.com"]),
        ("-i -- -odd@example.com", USER, ["-odd@example.com"]),
        ("-f <> c@example.com", "", ["c@example.com"]),
    ]

    def test_table(self):
        for line, sender, recipients in self.TABLE:
            with self.subTest(line):
                self.assertEqual(self.sent(line.split(), MAIL), (sender, recipients, WIRE))
        self.assertEqual(os.listdir(self.directory), ["smtp1.sock"])    # -X wrote nothing

    def test_parameters(self):
        """Of -N, -R, -V and addresses beyond ASCII what is offered is said, as the daemon wants it."""
        args = ["-N", "success,delay", "-Rhdrs", "-V", "a b+c", "-f", "é@example.com", "ü@example.com"]
        offers = self.new_server({"EHLO": "250-x\r\n250-DSN\r\n250 SMTPUTF8"})
        self.send(args, MAIL, offers)
        self.assertEqual(offers.commands[1:3], [
            "MAIL FROM:<é@example.com> RET=hdrs ENVID=a+20b+2Bc SMTPUTF8\r\n".encode(),
            "RCPT TO:<ü@example.com> NOTIFY=success,delay\r\n".encode()])
        self.send(args, MAIL)
        self.assertEqual(self.server.commands[1:3], [
            "MAIL FROM:<é@example.com>\r\n".encode(), "RCPT TO:<ü@example.com>\r\n".encode()])
        # what has no meaning is left out, and the message goes
        offers.commands.clear()
        self.send(["-N", "always", "-R", "x\r\nRSET", "-V", "x" * 101, "-f", "a@b", "c@d"], MAIL, offers)
        self.send(["-V", "x\r\nRSET", "-f", "a@b", "c@d"], MAIL, offers)
        for at in (0, 5):
            self.assertEqual(offers.commands[at + 1:at + 3], [b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n"])

    def test_empty_sender(self):
        self.assertEqual(self.sent(["-i", "-f", "", "c@example.com"], MAIL)[0], "")
        self.assertEqual(self.sent(["-f", "Web <web@example.com>", "c@d"], MAIL)[0],
                         "web@example.com")

    def test_unknown_option_is_told_and_skipped(self):
        done = self.send(["-Zfoo", "-J", "c@example.com"], MAIL)
        self.assertEqual(done.stderr.count(b"unknown option"), 2)
        self.assertEqual(self.server.messages[0][:2], (USER, ["c@example.com"]))

    def test_bad_value_is_named(self):
        done = self.send(["-N", "nevr", "-R", "all", "c@example.com"], MAIL)
        self.assertIn(b'-N can\'t be "nevr"', done.stderr)
        self.assertIn(b'-R can\'t be "all"', done.stderr)
        self.assertEqual(self.server.messages[0][:2], (USER, ["c@example.com"]))

    def test_other_modes(self):
        for args, status in (("-bd", 64), ("-bD", 64), ("-bi", 0), ("-I", 0), ("-bt", 0),
                             ("-bh", 0), ("-bH", 0), ("-bz", 0), ("-bv root", 0), ("-t -f", 64)):
            self.assertEqual(self.run_as("sendmail", args.split(), MAIL).returncode, status, args)
        self.assertEqual(self.run_as("newaliases", []).returncode, 0)
        self.assertEqual(self.server.commands, [])

    def test_verbose(self):
        self.assertIn(b"id=0123456789abcdef", self.send(["-v", "c@example.com"], MAIL).stdout)
        self.assertEqual(self.send(["c@example.com"], MAIL).stdout, b"")


class Messages(Base):
    def text(self, args, raw):
        return self.sent(args, raw)[2]

    def test_line_ends(self):
        for raw in (WIRE, MAIL, MAIL.replace(b"\n", b"\r\n", 2), WIRE.replace(b"\r", b"\r\r"),
                    MAIL[:-1], MAIL.replace(b"\n", b"\0\r\n")):
            self.assertEqual(self.text(["c@d"], raw), WIRE)

    def test_lone_dot(self):
        raw = MAIL + b".\nmore\n"
        self.assertEqual(self.text(["c@d"], raw), WIRE)
        self.assertEqual(self.text(["c@d"], MAIL + b"."), WIRE)
        for how in ("-i", "-oi", "-OIgnoreDots=true"):
            self.assertEqual(self.text([how, "c@d"], raw), WIRE + b".\r\nmore\r\n")
        self.assertEqual(self.text(["c@d"], MAIL + b"..\n.x\n"), WIRE + b"..\r\n.x\r\n")
        # nothing but a line of its own ends it, and nothing leaves that another could take for one
        self.assertEqual(self.text(["c@d"], MAIL + b"a\r.\rb\n"), WIRE + b"a\r\n.\r\nb\r\n")

    def test_bcc_goes(self):
        raw = (b"Bcc: x@e.com,\n\ty@e.com\nFrom: a@e.com\nTo: b@e.com\nbcc: z@e.com\n"
               b"Subject: s\nBCC :q@e.com\n\nBcc: body\n")
        clean = b"From: a@e.com\r\nTo: b@e.com\r\nSubject: s\r\n\r\nBcc: body\r\n"
        self.assertEqual(self.sent(["-t"], raw),
                         (USER, ["x@e.com", "y@e.com", "b@e.com", "z@e.com", "q@e.com"], clean))
        self.assertEqual(self.sent(["-i", "c@e.com"], raw), (USER, ["c@e.com"], clean))
        self.assertEqual(self.sent(["-t"], b"From: a@b\nBcc: x@e.com\n\n")[1:],
                         (["x@e.com"], b"From: a@b\r\n\r\n"))
        # a bare CR is a line end everywhere, so that it can hide no Bcc
        self.assertNotIn(b"Bcc", self.text(["c@d"], b"From: a@b\nX: y\rBcc: secret@e.com\n\nb\n"))

    def test_recipients_of_the_header(self):
        raw = (b"From: a@e.com\nTo: \"Doe, J\" <j@e.com>, (comment) root,\n friends: k@e.com,"
               b" l@e.com;\nCc: <m@e.com>\n\nbody\n")
        self.assertEqual(self.sent(["-t"], raw)[1],
                         ["j@e.com", "root", "k@e.com", "l@e.com", "m@e.com"])
        again = b"Resent-To: r@e.com\nResent-Bcc: s@e.com\n" + raw
        mail = self.sent(["-t"], again)
        self.assertEqual(mail[1], ["r@e.com", "s@e.com"])
        self.assertNotIn(b"Resent-Bcc", mail[2])

    def test_mailbox_line_and_missing_separator(self):
        self.assertEqual(self.text(["c@d"], b"From alice Mon Nov 2\n" + MAIL), WIRE)
        self.assertEqual(self.text(["c@d"], b">From alice Mon Nov 2\n" + MAIL), WIRE)
        self.assertEqual(self.text(["c@d"], b"From: a@b\nno field\nmore\n"),
                         b"From: a@b\r\n\r\nno field\r\nmore\r\n")

    def test_missing_from(self):
        self.assertEqual(self.text(["-F", "Ann \"A\" O'Hara", "c@d"], b"Subject: s\n\nb\n"),
                         b"Subject: s\r\nFrom: \"Ann \\\"A\\\" O'Hara\" <%s>\r\n\r\nb\r\n"
                         % USER.encode())
        self.assertIn(b"\r\nFrom: =?utf-8?B?SsO8cmdlbg==?= <web@example.com>\r\n\r\n",
                      self.text(["-F", "Jürgen", "-fweb@example.com", "c@d"], b"X: y\n\n"))
        self.assertEqual(self.text(["-F", "", "c@d"], b"just text\n"),
                         b"From: %s\r\n\r\njust text\r\n" % USER.encode())
        self.assertEqual(self.text(["-F", "", "c@d"], b""), b"From: %s\r\n\r\n" % USER.encode())

    def test_nothing_is_injected(self):
        text = self.text(["-F", "A\r\nBcc: x@e.com\n\nbody", "c@d"], b"Subject: s\n\nb\n")
        self.assertIn(b'From: "A  Bcc: x@e.com  body" <', text)
        self.assertNotIn(b"\nBcc", text)
        self.assertEqual(text.count(b"\r\n\r\n"), 1)
        for args in (["-f", "a@b>\r\nRCPT TO:<x@e.com", "c@d"], ["c@d\r\nDATA"], ["c@d\nx@e.com"],
                     ["-f", "a@b\nc", "c@d"]):
            self.run_as("sendmail", args, MAIL)
        for line in self.server.commands:
            self.assertTrue(line.endswith(b"\r\n") and line.count(b"\r") == 1, line)
            self.assertTrue(line[:4] in (b"EHLO", b"MAIL", b"RCPT", b"DATA", b"QUIT"), line)
        self.assertNotIn(b"DATA\r\nx", b"".join(self.server.commands))

    def test_long_lines_and_eight_bit(self):
        body = b"x" * 100000 + b"\r\n" + bytes(range(128, 256)) + b"\r\n \r\n"
        head = b"From: a@b\r\nX: " + b"y" * 200000 + b"\r\n\r\n"
        self.assertEqual(self.text(["c@d"], head + body), head + body)

    def test_big_message_is_streamed(self):
        body = (b"0123456789" * 7 + b"\r\n") * 500000      # 36 MB
        head = b"From: a@b\r\n\r\n"
        code = ("import os, resource, sys\n"
                "resource.setrlimit(resource.RLIMIT_AS, (24 << 20, 24 << 20))\n"
                "os.execv(sys.argv[1], ['sendmail', 'c@d'])\n")
        env = self.environment(self.server)
        if SANITIZED:
            code = "import os, sys; os.execv(sys.argv[1], ['sendmail', 'c@d'])"
        done = subprocess.run([sys.executable, "-c", code, str(PROGRAM)], input=head + body,
                              env=env, capture_output=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.server.messages[0][2], head + body)


class Failures(Base):
    def test_no_recipients(self):
        self.refused([], MAIL, 64, "no recipients")
        self.refused(["-t"], b"From: a@b\n\nx\n", 64, "no recipients")

    def test_bad_addresses(self):
        self.refused(["-t"], b"To: <a@b\n\nx\n", 65, "near")
        for address in ("a@@b", "a@b..c", "a@-b", "a@" + "b" * 300, "x" * 600 + "@b"):
            self.refused([address], MAIL, 65, "")
        self.refused(["a@b..c"], MAIL, 65, 'address "a@b..c"')
        self.refused(["-f", "a b@c d", "c@d"], MAIL, 65, "near")
        self.refused(["-f", "a@b, c@d", "c@d"], MAIL, 65, "one address")

    def test_refusals(self):
        for step, line, status in (("MAIL", "550 5.7.1 no", 69), ("MAIL", "451 4.3.0 later", 75),
                                   ("RCPT", "501 5.1.3 bad", 65), ("RCPT", "452 4.5.3 many", 75),
                                   ("RCPT", "550 5.7.1 no", 69), ("DATA", "451 4.3.2 later", 75),
                                   ("DOT", "552 5.3.4 too big", 65), ("DOT", "554 5.6.0 NUL", 65),
                                   ("DOT", "452 4.3.1 full", 75), ("DOT", "451 4.3.0 disk", 75),
                                   ("DOT", None, 75), ("RCPT", None, 75), ("DATA", None, 75)):
            with self.subTest(step=step, line=line):
                server = self.new_server({step: line})
                self.refused(["c@d", "e@f"], MAIL, status, line or "closed", server)

    def test_all_recipients_or_none(self):
        server = self.new_server({"RCPT": ["250 ok", "550 5.1.1 \x1b[2J no"]})
        done = self.refused(["c@d", "e@f"], MAIL, 69, "e@f", server)
        self.assertNotIn(b"\x1b", done.stderr)

    def test_too_many_recipients(self):
        """For good, and for none of them: nobody sends the rest by itself."""
        server = self.new_server({"RCPT": ["250 ok", "250 ok", "452 4.5.3 Too many recipients"]})
        self.refused(["c@d", "e@f", "g@h", "i@j"], MAIL, 65,
                     "4 recipients are too many for one message, posthouse takes 2", server)

    def test_standard_input_closed(self):
        env = self.environment(self.server)
        for args in (["c@d"], ["-bs"]):
            done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", PROGRAM, *args], env=env,
                                  capture_output=True, timeout=PATIENCE)
            self.assertEqual(done.returncode, 74, done)
        self.assertEqual(self.server.commands, [])

    def test_unreadable_input_sends_nothing(self):
        bad = os.open(self.directory, os.O_DIRECTORY)
        self.addCleanup(os.close, bad)
        done = subprocess.run([PROGRAM, "c@d"], stdin=bad, env=self.environment(self.server),
                              capture_output=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 74, done)
        self.assertEqual(self.server.messages, [])

    def test_input_that_breaks_sends_nothing(self):
        """The caller vanishes in the middle of a long message."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            writer = socket.create_connection(listener.getsockname())
            reader, _ = listener.accept()
        with reader, subprocess.Popen([PROGRAM, "c@d"], stdin=reader, stderr=subprocess.PIPE,
                                      env=self.environment(self.server)) as child:
            writer.sendall(MAIL + b"x" * 99 + b"\n")
            for _ in range(30000):
                writer.sendall(b"y" * 99 + b"\n")
            self.assertTrue(self.server.data.wait(PATIENCE))
            writer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()              # a reset, not an end
            self.assertIn(b"can't read the message", child.stderr.read())
            self.assertEqual(child.wait(PATIENCE), 74)
        self.assertEqual(self.server.messages, [])

    def test_daemon_away(self):
        self.server.close()
        os.unlink(self.server.where)
        self.refused(["c@d"], MAIL, 75, "not running")

    def test_daemon_never_greets(self):
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        self.server.where = "127.0.0.1:%d" % silent.getsockname()[1]
        self.refused(["c@d"], MAIL, 75, "in time")

    def test_daemon_comes_back(self):
        # the first two greetings say no; the message goes once
        server = self.new_server({"CONNECT": ["421 4.3.2 restarting", None, "220 back"]})
        done = self.run_as("sendmail", ["c@d"], MAIL, server, POSTHOUSE_WAIT="60")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(server.messages, [(USER, ["c@d"], WIRE)])

    def test_tcp(self):
        server = self.new_server(path=None)
        self.assertEqual(self.sent(["c@d"], MAIL, server), (USER, ["c@d"], WIRE))


class Session(Base):
    def test_whole_session(self):
        text = (b"EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + WIRE +
                b".\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<e@f>\r\nDATA\r\n" + WIRE + b".\r\nQUIT\r\n")
        done = self.send(["-bs", "-i"], text)
        codes = [line[:3] for line in done.stdout.splitlines()]
        self.assertEqual(codes, b"220 250 250 250 354 250 250 250 250 354 250 221".split())
        self.assertEqual(self.server.messages, [("a@b", ["c@d"], WIRE), ("", ["e@f"], WIRE)])

    def test_dialogue(self):
        """Answers come before standard input ends."""
        with subprocess.Popen([PROGRAM, "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=self.environment(self.server)) as child:
            self.assertEqual(child.stdout.readline(), b"220 test\r\n")
            for say, hear in ((b"EHLO x", b"250"), (b"NOOP", b"250"), (b"QUIT", b"221")):
                child.stdin.write(say + b"\r\n")
                child.stdin.flush()
                self.assertEqual(child.stdout.readline()[:3], hear)
            self.assertEqual(child.wait(PATIENCE), 0)

    def test_away(self):
        self.server.close()
        os.unlink(self.server.where)
        done = self.send(["-bs"], b"QUIT\r\n", status=75)
        self.assertTrue(done.stdout.startswith(b"421 "))


class Questions(Base):
    def ask(self, name, args, file, answer, silent=0):
        """Run it while a daemon answers on that socket; also what it was asked. silent: so
        many connections are closed first without a word."""
        asked = []
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.directory / file))
        listener.listen(1)

        def serve():
            for n in range(silent):
                peer, _ = listener.accept()
                with peer:
                    n % 2 == 0 or peer.recv(100)
            peer, _ = listener.accept()
            with peer, peer.makefile("rb") as lines:
                asked.append(lines.readline())
                peer.sendall(answer)
            if answer == b"":
                listener.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        done = self.run_as(name, args)
        thread.join(PATIENCE)
        os.unlink(self.directory / file)
        return done, asked[0]

    def test_mailq(self):
        for name, args in (("mailq", []), ("/usr/bin/mailq", []), ("sendmail", ["-bp"])):
            done, asked = self.ask(name, args, "status.sock", b"ok\nempty\nqueue\n")
            self.assertEqual((done.returncode, done.stdout, asked),
                             (0, b"empty\nqueue\n", b"queue --text\n"))
        done, _ = self.ask("mailq", [], "status.sock", b"error no \x1bright\n")
        self.assertEqual(done.returncode, 69)
        self.assertIn(b"no ?right", done.stderr)
        done, _ = self.ask("mailq", [], "status.sock", b"")
        self.assertEqual(done.returncode, 69)
        self.assertIn(b"posthouse can't be asked", done.stderr)
        self.assertEqual(self.run_as("mailq", []).returncode, 69)

    def test_reload(self):
        """Who is asked may just be replaced."""
        for name, args, file in (("mailq", [], "status.sock"), ("runq", [], "control.sock")):
            done, asked = self.ask(name, args, file, b"ok\n", silent=3)
            self.assertEqual((done.returncode, done.stderr), (0, b""), done)

    def test_flush(self):
        for name, args in (("sendmail", ["-q"]), ("sendmail", ["-q15m"]), ("sendmail", ["-qIabc"]),
                           ("runq", [])):
            done, asked = self.ask(name, args, "control.sock", b"ok\n3 messages\n")
            self.assertEqual((done.returncode, done.stdout, asked), (0, b"", b"flush\n"))
        done = self.run_as("sendmail", ["-q"])
        self.assertEqual(done.returncode, 75)
        self.assertEqual(done.stderr.count(b"\n"), 1)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-2-Clause
"""Messages with false ends of data in them, through the real daemon: what a smarthost is sent,
byte by byte as it went over the wire, and what naive readers make of that."""

import contextlib
import itertools
import re
import socket
import ssl
import threading

import lib
from lib import Failure
from test_conform import Talk

ENDS = (b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r")
DOTS = (b"..", b". ", b".\t", b".\x85")
TRICKS = [a + b"." + b for a, b in itertools.product(ENDS, ENDS)] + \
    [a + d + a for a, d in itertools.product(ENDS, DOTS)]
WITH_NUL = (b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\0\n", b"\0.\0", b"\r\n.\0")
SMUGGLED = (b"MAIL FROM:<eve@example.org>\r\nRCPT TO:<eve@example.org>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nsmuggled\r\n")

# Each splits bytes into lines in its own wrong way, and takes a line of one dot for the end.
READERS = {
    "strict": lambda wire: wire.split(b"\r\n"),
    "LF": lambda wire: wire.split(b"\n"),
    "LF, CR dropped": lambda wire: [n.strip(b"\r") for n in wire.split(b"\n")],
    "CR": lambda wire: wire.split(b"\r"),
    "CR, LF dropped": lambda wire: [n.strip(b"\n") for n in wire.split(b"\r")],
    "any": lambda wire: re.split(rb"\r\n|\r|\n", wire),
    "any, trimmed": lambda wire: [n.strip() for n in re.split(rb"[\r\n\0]+", wire)],
}


class Wire:
    """A smarthost on one port with TLS that keeps the bytes of each message as they came."""

    def __init__(self, certs):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certs / "good.pem", certs / "good.key")
        self.listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port = self.listener.getsockname()[1]
        self.messages, self.others = [], []
        self.changed = threading.Condition()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            with contextlib.suppress(OSError):
                peer, _ = self.listener.accept()
                threading.Thread(target=self.talk, args=(peer,), daemon=True).start()
            if self.listener.fileno() < 0:
                break

    def talk(self, peer):
        with contextlib.suppress(OSError), peer:
            lines = peer.makefile("rb")
            peer.sendall(b"220 wire.example\r\n")
            for line in lines:
                verb = line[:4].upper()
                if verb == b"DATA":
                    peer.sendall(b"354 go on\r\n")
                    self.take(lines)
                elif verb not in (b"EHLO", b"AUTH", b"MAIL", b"RCPT", b"RSET", b"NOOP", b"QUIT") or \
                        b"eve@" in line:
                    self.others.append(line)
                peer.sendall({b"EHLO": b"250-wire.example\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n",
                              b"AUTH": b"235 fine\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 fine\r\n"))

    def take(self, lines):
        """All bytes up to the end, which is CRLF.CRLF and nothing else."""
        wire = b"\r\n"
        while not wire.endswith(b"\r\n.\r\n"):
            more = lines.readline()
            if not more:
                return
            wire += more
        with self.changed:
            self.messages.append(wire[2:])
            self.changed.notify_all()

    def wait(self, count):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.messages) >= count, lib.PATIENCE):
                raise Failure(f"{len(self.messages)} of {count} messages came")


@contextlib.contextmanager
def wire_and_daemon(name):
    with lib.world(name, daemon=False) as (sink, _):
        certs = sink.dir.parent / "certs"
        wire = Wire(certs)
        posthouse = lib.Daemon(sink.dir.parent, sink, certs, relay={
            "endpoints": [{"port": wire.port, "tls": "implicit"}]})
        try:
            yield wire, posthouse
        finally:
            posthouse.kill()
            wire.listener.close()


class Way:
    """What Talk says of itself when something is wrong."""

    def __init__(self, trick, chunks):
        self.at = f"{trick!r} by {'BDAT' if chunks else 'DATA'}"


def submit(posthouse, number, trick, chunks):
    """All of it in one piece, and before the greeting is read."""
    talk = Talk(posthouse, Way(trick, chunks), "pipelined")
    text = b"X-Number: %d\r\n\r\nfirst" % number + trick + SMUGGLED
    talk.socket.sendall(b"EHLO x\r\nMAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.net>\r\n")
    half = len(text) - len(SMUGGLED) - (1 if len(trick) > 1 else 0)
    talk.socket.sendall(
        b"BDAT %d\r\n%bBDAT %d LAST\r\n%b" % (half, text[:half], len(text) - half, text[half:])
        if chunks else b"DATA\r\n" + text + b".\r\n")
    talk.wants(["220", "250", "250 2.1.0", "250 2.1.5"])
    answer = "554 5.6.0" if b"\0" in trick else "250 2.0.0"
    begun = "250 2.0.0" if chunks else "354"
    if chunks and b"\0" in text[:half]:
        talk.wants(["554 5.6.0", "503 5.5.1"])      # the first chunk is refused already
    else:
        talk.wants([begun, answer])
    talk.socket.sendall(b"QUIT\r\n")
    talk.wants(["221 2.0.0"])
    talk.ends()
    talk.close()


def ends_seen(wire):
    """What each reader has left behind the first end of data that it sees."""
    for name, split in READERS.items():
        lines = split(wire)
        if b"." in lines:
            yield name, b"".join(lines[lines.index(b".") + 1:])


def test_readers_are_naive_enough():
    for false in (b"x\n.\nRSET\r\n.\r\n", b"x\r.\rRSET\r\n.\r\n", b"x\n.\r\nRSET\r\n.\r\n",
                  b"x\r\n.\nRSET\r\n.\r\n", b"x\r\n.\rRSET\r\n.\r\n", b"x\r\n.\0RSET\r\n.\r\n"):
        if not any(b"RSET" in rest for _, rest in ends_seen(false)):
            raise Failure(f"nobody sees an end in {false!r}")


def test_no_reader_finds_a_second_message():
    with wire_and_daemon("smuggling") as (wire, posthouse):
        sent = {}
        for chunks in (False, True):
            for trick in (*TRICKS, *WITH_NUL):
                if b"\r\n.\r\n" in trick and not chunks:
                    continue                    # that is an end
                submit(posthouse, len(sent), trick, chunks)
                if b"\0" not in trick:
                    sent[len(sent)] = trick
        wire.wait(len(sent))
        if wire.others:
            raise Failure(f"sent as commands: {wire.others}")
        numbers = set()
        for message in wire.messages:
            number = int(re.search(rb"X-Number: (\d+)", message).group(1))
            numbers.add(number)
            if not message.endswith(b"\r\n" + SMUGGLED + b".\r\n"):
                raise Failure(f"{sent[number]!r} became {message!r}")
            if re.search(rb"\0|\r(?!\n)|(?<!\r)\n", message):
                raise Failure(f"{sent[number]!r} left a bare line end: {message!r}")
            for name, rest in ends_seen(message):
                if rest.strip(b"\r\n"):
                    raise Failure(f"{sent[number]!r}: reader {name} goes on with {rest!r}")
        if numbers != set(sent) or len(wire.messages) != len(sent):
            raise Failure(f"{len(wire.messages)} messages, {len(sent)} were taken")
        print(f"{len(sent)} messages, {len(READERS)} readers")


if __name__ == "__main__":
    lib.run_tests(globals())

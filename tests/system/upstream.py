# SPDX-License-Identifier: BSD-2-Clause
"""An upstream that knows the server's side of every login mechanism, and can get it wrong.

By Python alone, so that it shares no code with what it tests. One port, STARTTLS, a thread for each
connection; a client's certificate is asked for if the server knows of "EXTERNAL".
"""

import base64
import hashlib
import hmac
import os
import socketserver
import ssl
import threading

ITERATIONS = 4096


class Refused(Exception):
    pass


def encode(data):
    return base64.b64encode(data).decode()


def fields(data, separator):
    """a=b pieces, in order."""
    return [piece.partition(separator)[::2] for piece in data]


def saslname(text):
    return text.replace("=2C", ",").replace("=3D", "=")


class Session(socketserver.StreamRequestHandler):
    """The server's side of one connection."""

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")
        self.wfile.flush()

    def hear(self):
        line = self.rfile.readline()
        if not line:
            raise ConnectionResetError
        self.heard.append(line.rstrip(b"\r\n").decode("latin-1"))
        return self.heard[-1]

    def quote(self):
        """What the client said in the login, and what it meant."""
        said = self.heard[self.auth_at:]
        words = [line.split(" ")[-1] for line in said]
        meant = [base64.b64decode(w).replace(b"\0", b"/").decode() for w in words if len(w) % 4 == 0]
        return " ".join([*said, *meant, encode(b"xy" + self.up.PASSWORD.encode())])

    def handle(self):
        self.up = self.server.up
        self.tls = self.user = None
        self.heard = []
        try:
            self.say("220 upstream.example ESMTP")
            while self.command(self.hear()):
                pass
        except (OSError, ValueError):
            pass

    def command(self, line):
        verb = line.split(" ")[0].upper()
        if verb == "EHLO":
            self.say("250-upstream.example")
            self.say("250 AUTH " + " ".join(self.up.mechanisms) if self.tls else "250 STARTTLS")
        elif verb == "STARTTLS":
            self.say("220 go")
            self.tls = self.up.context.wrap_socket(self.request, server_side=True)
            self.rfile, self.wfile = self.tls.makefile("rb"), self.tls.makefile("wb")
        elif verb == "AUTH":
            self.auth(line.split(" ")[1:])
        elif verb == "MAIL":
            self.say("250 ok" if self.user is not None else "530 5.7.0 log in")
        elif verb == "DATA":
            self.say("354 go on")
            lines = []
            while not lines or lines[-1] != ".":
                lines.append(self.hear())
            self.up.messages.append((self.user, "\n".join(lines[:-1])))
            self.say("250 2.0.0 ok")
        else:
            self.say("221 bye" if verb == "QUIT" else "250 ok")
        return verb != "QUIT"

    # --- logins ------------------------------------------------------------------

    def ask(self, data):
        self.say("334 " + encode(data))
        answer = self.hear()
        if answer == "*":
            self.up.logins.append((self.mechanism, "given up"))
            raise ConnectionResetError
        return base64.b64decode(answer, validate=True)

    def auth(self, words):
        self.mechanism, self.auth_at = words[0], len(self.heard) - 1
        initial = None
        if len(words) > 1:
            initial = b"" if words[1] == "=" else base64.b64decode(words[1], validate=True)
        how = {"PLAIN": self.plain, "LOGIN": self.login, "CRAM-MD5": self.cram, "EXTERNAL": self.external,
               "SCRAM-SHA-1": self.scram, "SCRAM-SHA-256": self.scram,
               "OAUTHBEARER": self.bearer, "XOAUTH2": self.bearer}[self.mechanism]
        try:
            user = how(initial)
        except Refused:
            self.up.logins.append((self.mechanism, "refused"))
            self.say(f"{self.up.quotes} {self.quote()}" if self.up.quotes else "535 5.7.8 wrong")
            return
        self.up.logins.append((self.mechanism, user))
        self.user = user
        self.say("235 2.7.0 welcome")

    def check(self, user, password):
        if (user, password) != (self.up.USER, self.up.wants):
            raise Refused
        return user

    def plain(self, initial):
        as_whom, user, password = initial.decode().split("\0")
        if as_whom:
            raise Refused
        return self.check(user, password)

    def login(self, initial):
        user = self.ask(b"Username:").decode()
        return self.check(user, self.ask(b"Password:").decode())

    def cram(self, initial):
        challenge = b"<%s@upstream.example>" % os.urandom(8).hex().encode()
        user, _, digest = self.ask(challenge).decode().rpartition(" ")
        right = hmac.new(self.up.wants.encode(), challenge, "md5").hexdigest()
        if user != self.up.USER or digest != right:
            raise Refused
        return user

    def scram(self, initial):
        """RFC 5802 3, with what the server should not do where lie says so."""
        name = self.mechanism[len("SCRAM-"):].replace("-", "").lower()
        header, _, bare = initial.decode().partition(",,")
        (_, user), (_, nonce) = fields(bare.split(","), "=")
        lie = self.up.lie
        if header != "n" or not nonce:
            raise Refused
        if lie == "no proof":
            return saslname(user)
        salt, count = os.urandom(16), 10 ** 7 if lie == "costly" else ITERATIONS
        whole = os.urandom(9).hex() if lie == "nonce" else nonce + os.urandom(9).hex()
        first = "r=%s,s=%s,i=%d" % (whole, encode(salt), count)
        final = self.ask(first.encode()).decode()
        without, _, proof = final.rpartition(",p=")
        if without != "c=biws,r=" + whole:
            raise Refused
        salted = hashlib.pbkdf2_hmac(name, self.up.wants.encode(), salt, count)
        message = ",".join((bare, first, without)).encode()

        def sign(key, text):
            return hmac.new(key, text, name).digest()

        client = sign(salted, b"Client Key")
        signature = sign(hashlib.new(name, client).digest(), message)
        right = bytes(a ^ b for a, b in zip(client, signature))
        if saslname(user) != self.up.USER or base64.b64decode(proof) != right:
            raise Refused
        shown = sign(sign(salted, b"Server Key"), message)
        if lie == "signature":
            shown = bytes(len(shown))
        if self.ask(b"v=" + encode(shown).encode()) != b"":
            raise Refused
        return saslname(user)

    def bearer(self, initial):
        text = initial.decode()
        if self.mechanism == "XOAUTH2":
            user, auth = text.split("\1")[:2]
            user = user.partition("=")[2]
        else:
            header, auth = text.split("\1")[:2]
            user = saslname(header.split(",")[1].partition("=")[2])
        if not text.endswith("\1\1") or user != self.up.USER or auth != "auth=Bearer " + self.up.wants:
            answer = self.ask(b'{"status":"401","schemes":"bearer"}')
            assert answer == (b"" if self.mechanism == "XOAUTH2" else b"\1"), answer
            raise Refused
        return user

    def external(self, initial):
        certificate = self.tls.getpeercert()
        if not certificate:
            raise Refused
        names = dict(pair for part in certificate["subject"] for pair in part)
        return initial.decode() or names["commonName"]


class Upstream:
    """What lib.Daemon wants to know of an upstream. messages: (user, text); logins: (mechanism, user)."""

    USER, PASSWORD = "web1", "pass, word = 7"

    def __init__(self, certs, mechanisms, lie=None, wants=PASSWORD, quotes=None):
        self.mechanisms, self.lie, self.wants = mechanisms, lie, wants
        self.quotes = quotes       # in front of a refusal that repeats the login
        self.messages, self.logins = [], []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certs / "good.pem", certs / "good.key")
        if "EXTERNAL" in mechanisms:
            self.context.load_verify_locations(certs / "ca.pem")
            self.context.verify_mode = ssl.CERT_OPTIONAL
        self.tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self.tcp.daemon_threads = True
        self.tcp.up = self
        self.ports = {"587": self.tcp.server_address[1]}
        threading.Thread(target=self.tcp.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.tcp.shutdown()
        self.tcp.server_close()

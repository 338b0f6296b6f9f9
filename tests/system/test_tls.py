#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""TLS on listeners: STARTTLS and from the start, certificates that change or are wrong, what is said in
clear where it must not be, and the key, which stays where it is needed."""

import base64
import contextlib
import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess

import lib
from lib import Failure
from test_listeners import SANITIZED, expect, memory_has, reload

MODES = ("starttls", "required", "implicit")


class Pair:
    """The files that listeners have their certificate and key in."""

    def __init__(self, place):
        self.certs = lib.make_certs(place / "certs")
        self.certificate, self.key = place / "smtp.pem", place / "smtp.key"
        self.take("good")

    def take(self, name, key=None):
        """As a hook of who renews certificates does: new files in the place of the old ones."""
        for path, source, mode in ((self.certificate, f"{name}.pem", 0o644), (self.key, f"{key or name}.key", 0o600)):
            fresh = path.with_suffix(".new")
            shutil.copyfile(self.certs / source, fresh)
            fresh.chmod(mode)
            if os.getuid() == 0:
                os.chown(fresh, lib.ORDINARY, lib.ORDINARY)
            fresh.rename(path)

    def seen(self):
        """What a client sees of the present one."""
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())

    def context(self):
        return ssl.create_default_context(cafile=self.certs / "ca.pem")


@contextlib.contextmanager
def world(name, **options):
    """A daemon with a listener of each mode: sink, posthouse, pair, mode -> port."""
    with lib.workplace(f"{name}-pair") as place:
        pair = Pair(place)
        ports = {mode: lib.HeldPort() for mode in MODES}
        listeners = [{"name": mode, "address": f"127.0.0.1:{port.number}", "tls": mode,
                      "certificate": str(pair.certificate), "key": str(pair.key)} for mode, port in ports.items()]
        with lib.world(name, listeners=listeners, **options) as (sink, posthouse):
            yield sink, posthouse, pair, ports


def any_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connect(port, mode, context=None):
    context = context or any_context()
    if mode == "implicit":
        client = smtplib.SMTP_SSL("localhost", port.number, "c.example.com", timeout=lib.PATIENCE, context=context)
    else:
        client = smtplib.SMTP("localhost", port.number, "c.example.com", timeout=lib.PATIENCE)
        client.ehlo()
        code, text = client.starttls(context=context)
        expect(code == 220, f"STARTTLS: {code} {text}")
    client.ehlo()
    return client


def plain(port, *lines):
    """A connection in clear that has heard the replies to the lines."""
    s = socket.create_connection(("127.0.0.1", port.number), lib.PATIENCE)
    f = s.makefile("rwb")
    f.readline()
    for line in lines:
        f.write(line)
        f.flush()
        while f.readline()[3:4] == b"-":
            pass
    return s, f


def test_mail_by_every_way():
    with world("tls") as (sink, posthouse, pair, ports):
        for mode, port in ports.items():
            client = connect(port, mode, pair.context())
            expect(not client.has_extn("starttls"), f"{mode}: STARTTLS is offered within TLS")
            expect(client.docmd("STARTTLS")[0] == 503, f"{mode}: and taken")
            token = lib.new_token()
            number = posthouse.submit(token, body=lib.message(token, size=300000), client=client)
            expect(client.sock.version() in ("TLSv1.2", "TLSv1.3"), client.sock.version())
            client.quit()
            line = posthouse.process.wait_line(rf"\baccepted id={number} ")
            expect(f'tls="{client_suite(line)}"' in line, line)
        sink.wait_received(3)
        for m in sink.messages():
            expect(re.search(r"with ESMTPS\s+id [0-9a-f]{16}\s+tls TLS_[A-Z0-9_]+;", m.header("Received")),
                   m.header("Received"))
            expect(lib.is_whole(m, m.header("X-Token")), "the message is not whole")
        # In clear: as ever with starttls, nothing with required, and the other ports know nothing of it.
        with plain(ports["starttls"], b"EHLO c\r\n")[0] as s:
            s.sendall(b"MAIL FROM:<a@example.com>\r\n")
            expect(s.recv(100).startswith(b"250 2.1.0 "), "MAIL in clear where TLS is offered")
        with plain(ports["required"], b"EHLO c\r\n")[0] as s:
            s.sendall(b"MAIL FROM:<a@example.com>\r\n")
            expect(s.recv(100).startswith(b"530 5.7.0 "), "MAIL in clear where TLS is required")
        client = posthouse.client()
        client.ehlo()
        expect(not client.has_extn("starttls") and client.docmd("STARTTLS")[0] == 502, "listen has TLS")
        client.quit()
        posthouse.stop()


def client_suite(line):
    m = re.search(r'tls="(TLSv1\.[23] TLS_[A-Z0-9_]+)"', line)
    return m.group(1) if m else "?"


def test_what_is_said_in_clear_is_not_taken():
    with world("tls-clear") as (_, posthouse, pair, ports):
        evil = b"EHLO eve\r\nMAIL FROM:<eve@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n\r\n.\r\n"
        for mode in ("starttls", "required"):
            # With the command: no handshake at all.
            s, f = plain(ports[mode], b"EHLO c\r\n")
            f.write(b"STARTTLS\r\n" + evil)
            f.flush()
            said = f.read()
            expect(said == b"503 5.5.1 Something came behind STARTTLS in clear\r\n", f"{mode}: {said}")
            s.close()
            # Behind the 220: it is no record of TLS.
            mark = posthouse.process.mark()
            s, f = plain(ports[mode], b"EHLO c\r\n", b"STARTTLS\r\n")
            f.write(evil)
            f.flush()
            with contextlib.suppress(ConnectionError):
                said = f.read()
                expect(b"250" not in said and b"354" not in said, f"{mode}: {said}")
            posthouse.process.wait_line(rf'\btls-failed .*plain text.* listener="?{mode}', mark)
            s.close()
        s = socket.create_connection(("127.0.0.1", ports["implicit"].number), lib.PATIENCE)
        s.sendall(evil)
        with contextlib.suppress(ConnectionError):
            expect(b"220" not in s.recv(1000), "a greeting in clear")
        s.close()
        expect("eve@" not in posthouse.process.text(), "something of it was run")
        expect(posthouse.ctl("status")["queue"]["messages"] == 0, "a message came of it")
        posthouse.stop()


def s_client(port, mode, *more, say=""):
    how = ["-starttls", "smtp"] if mode != "implicit" else []
    p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port.number}", *how, *more], input=say.encode(),
                       capture_output=True, timeout=lib.PATIENCE, check=False)
    return p.returncode, (p.stdout + p.stderr).decode(errors="replace")


def test_old_versions_and_renegotiation():
    with world("tls-old") as (_, posthouse, pair, ports):
        for mode, port in ports.items():
            status, said = s_client(port, mode, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
            expect(status != 0 and "Cipher is (NONE)" in said, f"{mode}: TLS 1.1 is spoken: {said}")
            status, said = s_client(port, mode, "-tls1_2", say="R\nNOOP\n")
            expect("RENEGOTIATING" in said and "no renegotiation" in said, f"{mode}: {said}")
            status, said = s_client(port, mode, "-tls1_3", say="QUIT\r\n")
            expect("TLSv1.3" in said and "New Session Ticket" not in said, f"{mode}: {said}")
        log = posthouse.process.text()
        expect("tls-failed" in log and "no TLS version from 1.2 on" in log, log[-2000:])
        posthouse.stop()


def test_handshakes_that_stall():
    with world("tls-stall") as (sink, posthouse, pair, ports):
        stalled = []
        for i in range(60):
            if i % 2 == 0:
                s = socket.create_connection(("127.0.0.1", ports["implicit"].number), lib.PATIENCE)
            else:
                s, _ = plain(ports["starttls"], b"EHLO c\r\n", b"STARTTLS\r\n")
            s.sendall(b"\x16\x03\x01\x02\x00\x01"[:i % 7])
            stalled.append(s)
        for mode, port in ports.items():
            client = connect(port, mode)
            posthouse.submit(lib.new_token(), client=client)
            client.quit()
        sink.wait_received(3)
        expect(posthouse.ctl("status")["queue"]["messages"] == 0, "mail is left")
        posthouse.stop()                # a handshake is nothing to wait long for
        for s in stalled:
            s.close()


def test_a_renewed_certificate():
    with world("tls-renewed") as (sink, posthouse, pair, ports):
        for name in ("self-signed", "good"):
            old = pair.seen()
            client = connect(ports["required"], "required")
            expect(client.sock.getpeercert(True) == old, "another certificate than that of the file")
            lib.begin_message(client)
            pair.take(name)
            mark = posthouse.process.mark()
            posthouse.ctl("reload")
            posthouse.process.wait_line(r"\breload reason", mark)
            # It goes on, and its message is safe, whatever is exchanged meanwhile.
            token = lib.new_token()
            client.send(lib.message(token) + b".\r\n")
            code, text = client.getreply()
            expect(code == 250, f"{code} {text}")
            expect(client.sock.getpeercert(True) == old, "an old connection has a new certificate")
            client.close()
            posthouse.process.wait_line(r"\breloaded\b", mark)
            for mode, port in ports.items():
                client = connect(port, mode)
                expect(client.sock.getpeercert(True) == pair.seen() != old, f"{mode}: not the new certificate")
                client.quit()
        sink.wait_received(2)
        posthouse.stop()


def check(posthouse):
    return subprocess.run([posthouse.bin / "posthoused", "-t", "-c", posthouse.config],
                          capture_output=True, check=False, text=True, **posthouse._as_user())


def test_bad_certificates():
    with world("tls-bad") as (_, posthouse, pair, ports):
        good = pair.seen()
        said = check(posthouse)
        expect(said.returncode == 0, said.stderr)

        def refused(words):
            said = check(posthouse)
            expect(said.returncode == 78 and words in said.stderr and str(pair.key) in said.stderr + str(pair.key),
                   f"posthoused -t: {said.returncode} {said.stderr}")
            mark = posthouse.process.mark()
            posthouse.process.child.send_signal(lib.signal.SIGHUP)
            line = posthouse.process.wait_line(r"<3>.*\breload-refused\b", mark)
            expect(words in line and "old configuration stays" in line, line)
            client = connect(ports["required"], "required")
            expect(client.sock.getpeercert(True) == good, "not the last good certificate")
            client.quit()

        pair.take("expired", key="good")
        refused(f"the key {pair.key} does not belong to the first certificate in ")
        pair.take("good")
        pair.key.chmod(0o644)
        refused(f"the key {pair.key} is open to every user: chmod o= {pair.key}")
        pair.key.chmod(0o600)
        pair.key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        refused(f"no private key in PEM form is in {pair.key}")
        pair.take("good")
        pair.certificate.write_text("")
        refused(f"no certificate in PEM form is in {pair.certificate}")
        pair.take("good")
        pair.key.unlink()
        refused(f"can't open the key {pair.key}")

        # One that has ended is the clients' to judge.
        pair.take("expired")
        said = check(posthouse)
        expect(said.returncode == 0 and f"warning: the certificate {pair.certificate} ended on 2021-01-01" in said.stderr,
               said.stderr)
        mark = posthouse.process.mark()
        reload(posthouse)
        posthouse.process.wait_line(r"<4>.*\bcertificate .*ended on 2021-01-01", mark)
        client = connect(ports["implicit"], "implicit")
        expect(client.sock.getpeercert(True) == pair.seen(), "not the new one")
        client.quit()
        posthouse.stop()


def secret_number(key):
    """The private key as bytes, of a file that make-certs.sh made (an EC key in DER)."""
    body = "".join(line for line in key.read_text().splitlines() if "-" not in line)
    der = base64.b64decode(body)
    at = der.index(b"\x02\x01\x01\x04\x20")
    return der[at + 5:at + 37], body


def test_the_key_stays_with_intake():
    with world("tls-key") as (sink, posthouse, pair, ports):
        number, text = secret_number(pair.key)
        words = {number, number[::-1], text[:60].encode(), text[64:120].encode()}
        for mode, port in ports.items():
            client = connect(port, mode)
            queued = posthouse.submit(lib.new_token(), client=client)
            client.quit()
        sink.wait_received(3)
        told = str(posthouse.ctl("status")) + str(posthouse.ctl("explain", queued)) + posthouse.process.text()
        dumped = subprocess.run([posthouse.bin / "posthoused", "--dump", "-c", posthouse.config],
                                capture_output=True, check=True, text=True).stdout
        expect(not any(w in told + dumped for w in (text[:60], number.hex())), "it is told")
        expect(str(pair.key) in dumped, "--dump does not say where the key is")
        if os.getuid() == 0 and not SANITIZED:
            roles = posthouse.roles()
            expect(memory_has(roles["intake"], words) & {number, number[::-1]}, "this test does not find it where it is")
            expect(not memory_has(roles["intake"], {text[:60].encode(), text[64:120].encode()}), "intake has the file's text")
            for pid in (roles["relay"], posthouse.process.child.pid):
                expect(not memory_has(pid, words), f"process {pid} has it")
        posthouse.stop()


if __name__ == "__main__":
    lib.run_tests({k: v for k, v in globals().items() if k != "test_listeners"})

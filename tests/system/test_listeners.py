#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Listeners with networks of their own, and the rules of senders and recipients. Clients from
other hosts are played by other addresses of 127/8, which no list here has unless it says so."""

import base64
import contextlib
import os
import re
import smtplib
import socket
import subprocess

import lib
from lib import Failure


# A sanitizer keeps freed memory.
SANITIZED = any(word in lib.program("posthoused").read_bytes()
                for word in (b"__asan_init", b"__tsan_init"))


def expect(condition, what):
    if not condition:
        raise Failure(what)


def connect(port, source):
    """The client, and the code that it was greeted with."""
    client = smtplib.SMTP(timeout=lib.PATIENCE, local_hostname="c.example.com",
                          source_address=(source, 0))
    return client, client.connect("127.0.0.1", port.number)


def send(port, source, sender="alice@example.com", to="bob@example.net"):
    """Codes and texts of the replies to MAIL, RCPT and the message, as far as it went."""
    client, (code, text) = connect(port, source)
    if code != 220:
        raise Failure(f"greeted with {code} {text}")
    try:
        client.ehlo()
        said = [client.mail(sender)]
        if said[-1][0] == 250:
            said.append(client.rcpt(to))
        if said[-1][0] == 250 and len(said) == 2:
            said.append(client.data(lib.message(lib.new_token(), sender, (to,))))
        return [(code, text.decode()) for code, text in said]
    finally:
        with contextlib.suppress(smtplib.SMTPException, OSError):
            client.quit()


def turned_away(port, source):
    """Refused with words, and cut."""
    client, (code, text) = connect(port, source)
    expect(code == 554 and b"5.7.1" in text and b"networks" in text, f"greeted with {code} {text}")
    expect(client.sock is None or client.file.readline() == b"", "the connection is still there")
    client.close()


def test_networks():
    guest = lib.HeldPort()
    listener = {"name": "guests", "address": f"127.0.0.1:{guest.number}",
                "networks": ["127.0.1.0/24", "!127.0.1.1"]}
    with lib.world("listeners", listeners=[listener]) as (sink, posthouse):
        mark = posthouse.process.mark()
        turned_away(guest, "127.0.0.1")
        turned_away(guest, "127.0.1.1")
        turned_away(guest, "127.0.2.1")
        expect(send(guest, "127.0.1.2")[-1][0] == 250, "a guest is not served")
        posthouse.submit(lib.new_token())               # and this host as ever
        sink.wait_received(2)
        posthouse.process.wait_line(r"\brefused code=554 .*peer=127\.0\.0\.1 listener=.?guests", mark)
        expect(posthouse.process.text(mark).count("code=554") == 1, "each stranger has a line in the log")
        expect(posthouse.ctl("status")["warnings"] == [], "a warning of nothing")

        # Each end of a reload has its own rules; what is not listed is not served any more.
        listener["networks"] = ["127.0.2.1"]
        reload(posthouse)
        turned_away(guest, "127.0.1.2")
        expect(send(guest, "127.0.2.1")[-1][0] == 250, "the new list is not in force")
        del posthouse.settings["listeners"]
        reload(posthouse)
        try:
            connect(guest, "127.0.2.1")
            raise Failure("the listener is still there")
        except ConnectionRefusedError:
            pass
        posthouse.stop()


def reload(posthouse):
    mark = posthouse.process.mark()
    posthouse.write_config()
    posthouse.ctl("reload")
    posthouse.process.wait_line(r"\breloaded\b", mark)


def test_rules():
    guest = lib.HeldPort()
    listeners = [{"address": f"127.0.0.1:{guest.number}", "allow_recipients": ["bob@example.net"]}]
    with lib.world("rules", listeners=listeners, allow_senders=["*@example.com", "<>"],
                   allow_recipients=["*@example.net"]) as (sink, posthouse):
        said = send(posthouse.port, "127.0.0.1", sender="eve@example.org")
        expect(said == [(550, "5.7.1 Sender not in the list allow_senders")], f"{said}")
        said = send(posthouse.port, "127.0.0.1", to="bob@example.org")
        expect(said[-1] == (550, "5.7.1 Recipient not in the list allow_recipients"), f"{said}")
        said = send(guest, "127.0.0.1", to="carol@example.net")
        expect(said[-1] == (550, "5.7.1 Recipient not in the list allow_recipients of the listener "
                                 f"127.0.0.1:{guest.number}"), f"{said}")
        for port, to in ((posthouse.port, "carol@example.net"), (guest, "bob@example.net")):
            said = send(port, "127.0.0.1", to=to)
            expect([code for code, _ in said] == [250, 250, 250], f"{said}")
        expect(posthouse.sendmail(["-f", "eve@example.org", "bob@example.net"], b"\n", check=False).returncode != 0,
               "the unix socket has no rule")
        sink.wait_received(2)
        got = sorted(m.to for m in sink.messages())
        expect(len(got) == 2 and "bob@example.net" in str(got) and "carol@" in str(got), f"{got}")
        posthouse.stop()


def memory_has(pid, words):
    """Those of the words that are in what this process could read of itself; root only."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            area, access = line.split()[:2]
            begin, end = (int(x, 16) for x in area.split("-"))
            if access[:2] != "rw" or "[v" in line:
                continue
            memory.seek(begin)
            with contextlib.suppress(OSError):
                text = memory.read(end - begin)
                found |= {w for w in words if w in text}
    return found


def test_any_login_will_do():
    guest = lib.HeldPort()
    listeners = [{"address": f"127.0.0.1:{guest.number}"}]
    with lib.world("login", auth="accept_any", listeners=listeners) as (sink, posthouse):
        secret = "correct-" + lib.new_token() + "-staple"
        coded = {word: base64.b64encode(word) for word in
                 (secret.encode(), b"\0alice\0" + secret.encode())}
        for how in ("plain", "login"):
            client = posthouse.client()
            client.ehlo()
            expect(client.esmtp_features.get("auth") == " PLAIN LOGIN", f"{client.esmtp_features}")
            client.user, client.password = "alice", secret
            code, _ = client.auth(how, getattr(client, f"auth_{how}"))
            expect(code == 235, f"{how}: {code}")
            expect(client.noop()[0] == 250, "the session ended")
            if os.getuid() == 0 and not SANITIZED:
                left = memory_has(posthouse.roles()["intake"], {*coded, *coded.values()})
                expect(left == set(), f"{how}: intake still has {left}")
            number = posthouse.submit(lib.new_token(), client=client)
            client.quit()
            told = posthouse.ctl("explain", number)
            expect(told["uid"] == os.getuid(), f"the login changed who it is: {told}")
        sink.wait_received(2)
        expect(all("with ESMTP " in m.header("Received") for m in sink.messages()), "Received tells of a login")
        log = posthouse.process.text()
        expect(not any(word in log for word in (secret, coded[secret.encode()].decode())), "the log has it")
        client, (code, _) = connect(guest, "127.0.0.1")
        client.ehlo()
        expect(code == 220 and not client.has_extn("auth"), "a listener that does not say so offers AUTH")
        expect(client.docmd("AUTH", "LOGIN")[0] == 502, "and takes it")
        client.quit()
        posthouse.stop()


def own_address():
    """Where a packet to the world would come from; None: this host has but loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return s.getsockname()[0]


def test_own_addresses_are_told_of():
    guest = lib.HeldPort()
    own = own_address()
    listeners = [{"name": "all", "address": f"0.0.0.0:{guest.number}", "networks": [own or "10.1.2.3"]}]
    with lib.world("own", listeners=listeners) as (_, posthouse):
        warnings = [w["warning"] for w in posthouse.ctl("status")["warnings"]]
        told = [w for w in warnings if w.startswith("GATEWAY: ") and f'add "!{own}"' in w]
        tried = subprocess.run([posthouse.bin / "posthoused", "-t", "-c", posthouse.config],
                               capture_output=True, check=False, text=True)
        wanted = 0 if own in (None, "172.17.0.1") else 1
        expect(len(told) == wanted, f"{own}: {warnings}")
        expect(tried.stderr.count(": warning: GATEWAY: ") == wanted, f"{own}: {tried.stderr}")
        if wanted:
            posthouse.process.wait_line(rf"<4>.*\bopen-listener .*GATEWAY: .* all have {re.escape(own)} in them")
        posthouse.stop()


def test_an_open_relay_is_told_of():
    guest = lib.HeldPort()
    listeners = [{"name": "wide", "address": f"127.0.0.1:{guest.number}", "networks": ["0.0.0.0/0"]}]
    with lib.world("open", listeners=listeners) as (_, posthouse):
        posthouse.process.wait_line(r"<4>.*\bopen-listener .*OPEN RELAY: the listener wide takes mail from 0\.0\.0\.0/0")
        posthouse.process.wait_line(r"<4>.*\bopen-listener .*GATEWAY: .*172\.17\.0\.1")
        warnings = [w["warning"] for w in posthouse.ctl("status")["warnings"]]
        expect(len(warnings) == 2 and warnings[0].startswith("OPEN RELAY"), f"{warnings}")
        text = subprocess.run([posthouse.bin / "posthousectl", "-c", posthouse.config, "status"],
                              capture_output=True, check=True, text=True).stdout.splitlines()
        expect(text[:2] == ["WARNING", warnings[0]], f"status begins with {text[:3]}")
        tried = subprocess.run([posthouse.bin / "posthoused", "-t", "-c", posthouse.config],
                               capture_output=True, check=False, text=True)
        expect("warning: OPEN RELAY" in tried.stderr, f"posthoused -t says: {tried.stderr}")
        posthouse.stop()


if __name__ == "__main__":
    lib.run_tests(globals())

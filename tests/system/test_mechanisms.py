#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Each login mechanism against a server's side of it in Python: used, refused once, and lied to."""

import contextlib
import os
import shutil

import lib
import upstream
from test_listeners import SANITIZED, expect, memory_has, reload

BY_PASSWORD = ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN")
BY_TOKEN = ("OAUTHBEARER", "XOAUTH2")
USER, PASSWORD = upstream.Upstream.USER, upstream.Upstream.PASSWORD


def give(source, target, mode):
    shutil.copyfile(source, target)
    target.chmod(mode)
    if os.getuid() == 0:
        os.chown(target, lib.ORDINARY, lib.ORDINARY)


@contextlib.contextmanager
def world(mechanisms, name="mechanisms", certificate=False, **options):
    """A server that offers them, and a daemon that is yet to be told how to log in."""
    relay = options.pop("relay", {})
    with lib.workplace(name) as place:
        certs = lib.make_certs(place / "certs")
        up = upstream.Upstream(certs, mechanisms, **options)
        if certificate:
            give(certs / "wrong-use.pem", place / "own.pem", 0o644)
            give(certs / "wrong-use.key", place / "own.key", 0o600)
            relay = {"certificate": str(place / "own.pem"), "key": str(place / "own.key"), **relay}
        daemon = None
        try:
            daemon = lib.Daemon(place, up, certs, endpoints=("587",), relay=relay)
            yield up, daemon
        except BaseException:
            if daemon:
                (place / "posthoused.log").write_text(daemon.process.text())
            raise
        finally:
            if daemon:
                daemon.kill()
            up.stop()


def name(daemon, *mechanisms):
    """These alone, from now on."""
    daemon.settings["relays"][0]["mechanisms"] = [m.lower() for m in mechanisms]
    daemon.write_config()
    reload(daemon)


def send(daemon):
    start = daemon.process.mark()
    daemon.submit(lib.new_token())
    daemon.process.wait_line("\\bdelivered ", start)


def test_each_by_its_name():
    """Whatever else is offered. Nothing of the password is in the log, or in the processes that do not need it."""
    for names in (BY_PASSWORD, BY_TOKEN):
        with world((*names, "GSSAPI"), relay={"mechanisms": [names[0].lower()]}) as (up, daemon):
            for m in names:
                name(daemon, m)
                send(daemon)
                expect(up.logins[-1] == (m, USER), (m, up.logins))
                expect(up.messages[-1][0] == USER, up.messages[-1])
            roles = daemon.roles()
            expect(PASSWORD not in daemon.process.text(), "the password is in the log")
            if os.getuid() == 0 and not SANITIZED:
                expect(memory_has(roles["relay"], {PASSWORD.encode()}), "this test does not find it where it is")
                expect(not memory_has(roles["intake"], {PASSWORD.encode()}), "intake has the password")


def test_the_strongest_is_chosen():
    with world(("LOGIN", "PLAIN", "XOAUTH2", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")) as (up, daemon):
        send(daemon)
        expect(up.logins[-1] == ("SCRAM-SHA-256", USER), up.logins)
        name(daemon, "!scram-sha-256", "!scram-sha-1")
        send(daemon)
        expect(up.logins[-1] == ("CRAM-MD5", USER), up.logins)


def test_each_is_refused_once():
    for m in (*BY_PASSWORD, *BY_TOKEN):
        offered = (m, *(o for o in BY_PASSWORD if o != m and m not in BY_TOKEN))
        with world(offered, wants="another", relay={"mechanisms": [m.lower()]}) as (up, daemon):
            daemon.submit(lib.new_token())
            how = "" if m in ("PLAIN", "LOGIN") else f" \\(by {m}\\)"
            daemon.process.wait_line(f'account-blocked .*class=auth_refused .*detail="535 5.7.8 wrong{how}"')
            daemon.submit(lib.new_token())
            daemon.ctl("status")
            daemon.stop()
            expect(up.logins == [(m, "refused")], up.logins)
            expect(up.messages == [], up.messages)


def test_nothing_that_may_be_used():
    with world(("PLAIN", "LOGIN"), relay={"mechanisms": ["scram-sha-256"]}) as (up, daemon):
        daemon.submit(lib.new_token())
        daemon.process.wait_line("class=auth_missing .*may be used is offered, but PLAIN LOGIN")
        expect(up.logins == [], up.logins)


def test_a_server_that_lies_gets_no_mail():
    for lie, said, words in (
            ("no proof", "web1", "class=auth_unproven .*without showing that it knows the password"),
            ("signature", "given up", "class=auth_unproven .*its signature is not that of one who knows"),
            ("nonce", "given up", "class=auth_unproven "),
            ("costly", "given up", "class=auth_missing .*more than 100000 iterations")):
        with world(("SCRAM-SHA-256", "PLAIN"), lie=lie) as (up, daemon):
            daemon.submit(lib.new_token())
            daemon.process.wait_line(words)
            daemon.stop()
            expect(up.logins[0] == ("SCRAM-SHA-256", said), (lie, up.logins))
            expect(all(m == "SCRAM-SHA-256" for m, _ in up.logins), (lie, up.logins))
            expect(up.messages == [], (lie, up.messages))


def assert_nowhere(daemon, text, secrets):
    """In what the daemon says, and in any file of its own but the one with the password."""
    for secret in secrets:
        expect(secret not in text, f"{secret} is said: {text}")
        for path in [*daemon.place.glob("state/**/*"), *daemon.place.glob("run/**/*")]:
            if path.is_file():
                expect(secret.encode() not in path.read_bytes(), f"{secret} is in {path}")


def test_what_a_server_quotes_is_not_repeated():
    """In its log, its files and its answers there is neither the password nor any of its base64."""
    whole = PASSWORD.encode()
    encoded = [upstream.encode(bytes(n) + whole) for n in range(3)]
    pieces = [PASSWORD, *(e[4:-4] for e in encoded), upstream.encode(f"\0{USER}\0{PASSWORD}".encode())[8:]]
    for m, quotes in (("PLAIN", "535 5.7.8"), ("LOGIN", "500 5.5.1 Command unrecognized:"), ("PLAIN", "what?")):
        with world((m,), wants="another", quotes=quotes) as (up, daemon):
            queued = daemon.submit(lib.new_token())
            daemon.process.wait_line("\\*\\*\\*")
            answers = [str(daemon.ctl(*words)) for words in (("status",), ("ports",), ("explain", queued))]
            daemon.stop()
            expect(up.logins[0] == (m, "refused"), up.logins)
            assert_nowhere(daemon, daemon.process.text() + "".join(answers), pieces)


def test_a_certificate_is_the_login():
    alone = {"user": None, "password_file": None, "mechanisms": ["external"]}
    with world(("EXTERNAL", *BY_PASSWORD), certificate=True, relay=alone) as (up, daemon):
        send(daemon)
        expect(set(up.logins) == {("EXTERNAL", "wrong-use")}, up.logins)    # the name in it
        roles = daemon.roles()
        key = (daemon.place / "own.key").read_bytes()
        for pid in (roles["intake"], daemon.process.child.pid):
            if os.getuid() == 0 and not SANITIZED:
                expect(not memory_has(pid, {key[60:120]}), f"process {pid} has the key")
        # another one's key is refused, and the old pair stays in force
        give(daemon.place / "certs/good.key", daemon.place / "own.key", 0o600)
        start = daemon.process.mark()
        daemon.process.child.send_signal(lib.signal.SIGHUP)
        daemon.process.wait_line("reload-refused .*does not belong to the first certificate", start)
        send(daemon)
    asked = {"password_file": None, "mechanisms": ["external"]}
    with world(("EXTERNAL",), certificate=True, relay=asked) as (up, daemon):
        send(daemon)
        expect(set(up.logins) == {("EXTERNAL", USER)}, up.logins)


def test_a_key_that_others_can_read():
    with world(("EXTERNAL",), certificate=True) as (up, daemon):
        (daemon.place / "own.key").chmod(0o644)
        start = daemon.process.mark()
        daemon.process.child.send_signal(lib.signal.SIGHUP)
        daemon.process.wait_line("reload-refused .*the key .*own.key is open to every user", start)


if __name__ == "__main__":
    lib.run_tests(globals())

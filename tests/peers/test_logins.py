#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Every mechanism against a login service that is not ours: Postfix with Cyrus SASL, and with Dovecot.

Each sends one message by the mechanism that the configuration names; Postfix says which one it was. With
a wrong password, or a token that is over, each is refused once, and that is the only login.
"""

import os
import re
import shutil
import smtplib
import sys

import postfix
import test_peers
from test_peers import lib
import dovecot

PACKAGES = ["postfix", "sasl2-bin", "libsasl2-modules", "dovecot-core"]
BY_PASSWORD = ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"]
BY_TOKEN = ["OAUTHBEARER", "XOAUTH2"]
USER, PASSWORD = "web1", "pass, word = 7"


class Upstream(test_peers.Upstream):
    """One Postfix, asked by STARTTLS and with TLS from the start."""

    USER, PASSWORD = USER, PASSWORD

    def __init__(self, place, certs, service):
        self.ports = {"587": postfix.free_port(), "465": postfix.free_port()}
        self.dovecot = None
        self.postfix = postfix.Postfix(str(place / "postfix"))
        key, certificate = place / "postfix.key", place / "postfix.pem"
        shutil.copy(certs / "good.pem", certificate)
        shutil.copy(certs / "good.key", key)
        key.chmod(0o600)
        self.postfix.deliver_to_maildir("example.net")
        self.postfix.require_login(USER, PASSWORD, certificate, key, " ".join(BY_PASSWORD))
        if service != "cyrus":
            self.dovecot = dovecot.Dovecot(
                str(place / "dovecot"), USER, PASSWORD,
                dovecot.TOKENS if service == "tokens" else dovecot.PASSWORDS)
            self.dovecot.start()
            self.postfix.params.update(smtpd_sasl_type="dovecot", smtpd_sasl_path=self.dovecot.socket)
        self.postfix.service(postfix.smtpd_service(
            self.ports["587"], "smtpd_tls_security_level=encrypt"))
        self.postfix.service(postfix.smtpd_service(
            self.ports["465"], "smtpd_tls_security_level=encrypt", "smtpd_tls_wrappermode=yes"))
        self.postfix.start(self.ports["587"])

    def refusals(self):
        return len(re.findall("SASL [A-Za-z0-9-]+ authentication failed", self.postfix.log_text()))

    def stop(self):
        self.postfix.stop()
        if self.dovecot is not None:
            self.dovecot.stop()

    def said(self):
        return self.postfix.log_text()[-2000:] + (self.dovecot.log_text()[-2000:] if self.dovecot else "")


class World:
    """One daemon for one login."""

    def __init__(self, place, upstream, certs, name, endpoint, secret, mechanisms):
        folder = place / name
        folder.mkdir()
        self.upstream, self.name = upstream, name
        relay = {"mechanisms": mechanisms} if mechanisms else {}
        upstream.PASSWORD = secret
        self.daemon = lib.Daemon(folder, upstream, certs, endpoints=(endpoint,), relay=relay)

    def send(self):
        with smtplib.SMTP("127.0.0.1", self.daemon.port.number, timeout=lib.PATIENCE) as s:
            s.sendmail("alice@example.com", ["bob@example.net"],
                       test_peers.crlf(test_peers.text_of(self.name)), ["BODY=8BITMIME"])

    def works(self, mechanism):
        self.send()
        self.upstream.wait_for(self.name)
        want = "sasl_method=%s, sasl_username=%s" % (mechanism, USER)
        last = re.findall("sasl_method=.*", self.upstream.postfix.log_text())[-1]
        if not last.startswith(want):
            raise lib.Failure("not %s but %s" % (want, last))

    def is_refused_once(self):
        before = self.upstream.refusals()
        self.send()
        self.daemon.process.wait_line("account-blocked .*class=auth_refused")
        self.send()
        self.daemon.ctl("status")
        self.daemon.stop()      # mail waits, and no further login is tried
        if self.upstream.refusals() != before + 1:
            raise lib.Failure("%d logins" % (self.upstream.refusals() - before))


def cases(service, upstream):
    """Name, secret, what the configuration names, mechanism expected; None: it is refused."""
    if service == "tokens":
        good, over = upstream.dovecot.token(USER), upstream.dovecot.token(USER, -10)
        for m in BY_TOKEN:
            yield m, good, [m.lower()], m
            yield m + "-over", over, [m.lower()], None
        yield "both", good, ["xoauth2", "oauthbearer"], "OAUTHBEARER"
        return
    for m in BY_PASSWORD:
        yield m, PASSWORD, [m.lower()], m
        yield m + "-wrong", "another", [m.lower()], None
    yield "all", PASSWORD, [], "SCRAM-SHA-256"
    yield "forbidden", PASSWORD, ["!scram-sha-256", "!scram-sha-1"], "CRAM-MD5"


def run_service(place, certs, service):
    failed = 0
    folder = place / service
    folder.mkdir()
    upstream = Upstream(folder, certs, service)
    try:
        for endpoint, (name, secret, mechanisms, want) in (
                (e, c) for e in ("587", "465") for c in cases(service, upstream) if c[3] or e == "587"):
            token = "%s-%s-%s" % (service, endpoint, name)
            world = None
            try:
                world = World(folder, upstream, certs, token, endpoint, secret, mechanisms)
                if want:
                    world.works(want)
                else:
                    world.is_refused_once()
                print("ok   %s" % token, flush=True)
            except (lib.Failure, OSError, smtplib.SMTPException) as e:
                failed += 1
                print("FAIL %s: %s\n%s" % (token, e, upstream.said()), flush=True)
            finally:
                if world is not None:
                    world.daemon.kill()
    finally:
        upstream.stop()
    return failed


def main():
    if os.getuid() != 0:
        lib.skip("needs root, for a real Postfix as upstream")
    test_peers.install_packages(PACKAGES)
    reason = test_peers.need("/usr/sbin/postfix", "saslpasswd2")
    if reason:
        lib.skip(reason)
    services = ["cyrus", "dovecot", "tokens"]
    if test_peers.need("dovecot"):
        print("SKIP dovecot, tokens: %s" % test_peers.need("dovecot"), flush=True)
        services = ["cyrus"]
    failed = 0
    with lib.workplace("logins") as place:
        certs = lib.make_certs(place / "certs")
        for service in services:
            failed += run_service(place, certs, service)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

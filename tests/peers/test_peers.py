#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Real clients hand mail to posthouse, a real Postfix takes it with TLS and a login.

Each client sends the same awkward body: lines that begin with dots, a lone dot where
the client can send one, trailing spaces, a long line, bytes above 127. What arrives must be what
was sent, byte for byte. Clients that are not installed are skips with a name.
"""

import os
import pathlib
import select
import shutil
import smtplib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
sys.path.insert(0, str(HERE))
import lib  # noqa: E402
import postfix  # noqa: E402

BODY = (b"Dear reader,\n"
        b".a line that begins with a dot\n"
        b"..two of them\n"
        b"trailing spaces  \n"
        b"\ttab and \xc3\xa4\xc3\xb6\xc3\xbc\n"
        b"\n"
        + b"x" * 900 + b"\n"
        b"the end\n")
PHPMAILER = "/usr/share/php/libphp-phpmailer/src/PHPMailer.php"

PACKAGES = ["postfix", "sasl2-bin", "libsasl2-modules", "swaks", "curl", "msmtp", "php-cli",
            "libphp-phpmailer", "bsd-mailx"]


class Upstream:
    """What lib.Daemon wants to know of an upstream, answered by Postfix."""

    USER, PASSWORD = lib.Sink.USER, lib.Sink.PASSWORD

    def __init__(self, place, certs):
        self.ports = {"587": postfix.free_port(), "465": postfix.free_port()}
        self.postfix = postfix.Postfix(str(place / "postfix"))
        key, certificate = place / "postfix.key", place / "postfix.pem"
        shutil.copy(certs / "good.pem", certificate)
        shutil.copy(certs / "good.key", key)
        key.chmod(0o600)
        self.postfix.deliver_to_maildir("example.net")
        self.postfix.require_login(self.USER, self.PASSWORD, certificate, key)
        self.postfix.service(postfix.smtpd_service(
            self.ports["587"], "smtpd_tls_security_level=encrypt"))
        self.postfix.service(postfix.smtpd_service(
            self.ports["465"], "smtpd_tls_security_level=encrypt", "smtpd_tls_wrappermode=yes"))
        self.postfix.start(self.ports["587"])

    def wait_for(self, token):
        """The message whose subject is the token, once it is in the Maildir."""
        end = time.monotonic() + lib.PATIENCE
        want = b"\nSubject: " + token.encode() + b"\n"
        while time.monotonic() < end:
            for m in self.postfix.messages():
                if want in m:
                    return m
            select.select([], [], [], 0.02)
        raise lib.Failure("%s did not arrive; Postfix says:\n%s" %
                          (token, self.postfix.log_text()[-2000:]))


def need(*programs):
    for p in programs:
        if not (shutil.which(p) or os.path.exists(p)):
            return "%s is not installed" % p
    return None


def text_of(token, body=BODY):
    return (b"From: Alice <alice@example.com>\nTo: bob@example.net\nSubject: %s\n"
            b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            b"Content-Transfer-Encoding: 8bit\n\n" % token.encode()) + body


def crlf(data):
    return data.replace(b"\n", b"\r\n")


def run(argv, data=None, **more):
    p = subprocess.run([str(a) for a in argv], input=data, capture_output=True,
                       timeout=lib.PATIENCE, **more)
    if p.returncode != 0:
        raise lib.Failure("%s: status %d: %s%s" % (argv[0], p.returncode, p.stderr.decode("utf-8", "replace"),
                                                   p.stdout.decode("utf-8", "replace")))
    return p


# --- clients: each sends one message whose subject is the token -----------------------------


def by_swaks(daemon, place, token):
    data = place / "swaks.eml"
    data.write_bytes(text_of(token))
    run(["swaks", "--server", "127.0.0.1", "--port", daemon.port.number, "--from", "alice@example.com",
         "--to", "bob@example.net", "--data", "@%s" % data, "--silent", "2"])


by_swaks.needs = ["swaks"]


def by_swaks_pipelined(daemon, place, token):
    data = place / "swaks.eml"
    data.write_bytes(text_of(token))
    run(["swaks", "--server", "127.0.0.1", "--port", daemon.port.number, "--from", "alice@example.com",
         "--to", "bob@example.net", "--data", "@%s" % data, "--silent", "2", "--pipeline"])


by_swaks_pipelined.needs = ["swaks"]


def by_curl(daemon, place, token):
    data = place / "curl.eml"
    data.write_bytes(crlf(text_of(token)))
    run(["curl", "--silent", "--show-error", "smtp://127.0.0.1:%d/client.example.com" % daemon.port.number,
         "--mail-from", "alice@example.com", "--mail-rcpt", "bob@example.net", "--upload-file", data])


by_curl.needs = ["curl"]


def by_smtplib(daemon, place, token):
    with smtplib.SMTP("127.0.0.1", daemon.port.number, timeout=lib.PATIENCE) as s:
        s.sendmail("alice@example.com", ["bob@example.net"], crlf(text_of(token)), ["BODY=8BITMIME"])


by_smtplib.needs = []


def by_msmtp(daemon, place, token):
    run(["msmtp", "--file=/dev/null", "--host=127.0.0.1", "--port=%d" % daemon.port.number, "--tls=off",
         "--auth=off", "--from=alice@example.com", "--", "bob@example.net"], text_of(token))


by_msmtp.needs = ["msmtp"]


def by_sendmail(daemon, place, token):
    daemon.sendmail(["-i", "-t", "-f", "alice@example.com"], text_of(token))


by_sendmail.needs = []

PHP_MAIL = r"""
$body = file_get_contents($argv[2]);
$headers = "From: Alice <alice@example.com>\r\nMIME-Version: 1.0\r\n" .
    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit";
exit(mail('bob@example.net', $argv[1], $body, $headers, '-falice@example.com') ? 0 : 1);
"""


def php(daemon, place, script, token, *settings):
    body = place / "php.body"
    body.write_bytes(BODY)
    run(["php", "-n", *settings, "-r", script, "--", token, body],
        env=dict(os.environ, **daemon.sendmail_env()))


def by_php_mail(daemon, place, token):
    php(daemon, place, PHP_MAIL, token, "-d", "sendmail_path=%s -t -i" % (daemon.bin / "sendmail"))


by_php_mail.needs = ["php"]

PHPMAILER_HEAD = r"""
require '/usr/share/php/libphp-phpmailer/src/PHPMailer.php';
require '/usr/share/php/libphp-phpmailer/src/SMTP.php';
require '/usr/share/php/libphp-phpmailer/src/Exception.php';
$m = new PHPMailer\PHPMailer\PHPMailer(true);
$m->CharSet = 'utf-8';
$m->Encoding = '8bit';
$m->setFrom('alice@example.com', 'Alice');
$m->addAddress('bob@example.net');
$m->Subject = $argv[1];
$m->Body = file_get_contents($argv[2]);
"""


def by_phpmailer_smtp(daemon, place, token):
    """As WordPress plugins use it: SMTPAutoTLS is on, and must find nothing to trip over."""
    php_phpmailer(daemon, place, token, "$m->isSMTP(); $m->Host = '127.0.0.1'; $m->Port = %d;" %
                  daemon.port.number)


def by_phpmailer_sendmail(daemon, place, token):
    php_phpmailer(daemon, place, token, "$m->isSendmail(); $m->Sendmail = '%s';" %
                  (daemon.bin / "sendmail"))


def php_phpmailer(daemon, place, token, settings):
    body = place / "php.body"
    body.write_bytes(BODY)
    script = place / "phpmailer.php"
    script.write_text("<?php\n" + PHPMAILER_HEAD + settings + "\n$m->send();\n")
    run(["php", script, token, body], env=dict(os.environ, **daemon.sendmail_env()))


by_phpmailer_smtp.needs = by_phpmailer_sendmail.needs = ["php", PHPMAILER]


def by_mailx(daemon, place, token):
    """bsd-mailx: the body on standard input, sendmail by its own name for it."""
    settings = place / "mailrc"
    settings.write_text("set sendmail=%s\n" % (daemon.bin / "sendmail"))
    run(["bsd-mailx", "-s", token, "-a", "From: Alice <alice@example.com>",
         "-a", "Content-Type: text/plain; charset=utf-8", "bob@example.net"], BODY,
        env=dict(os.environ, MAILRC=str(settings), **daemon.sendmail_env()))


by_mailx.needs = ["bsd-mailx"]

CLIENTS = [by_swaks, by_swaks_pipelined, by_curl, by_smtplib, by_msmtp, by_sendmail, by_php_mail,
           by_phpmailer_smtp, by_phpmailer_sendmail, by_mailx]


def check(message, token):
    """As Postfix stored it: lines end in LF."""
    head, _, body = message.partition(b"\n\n")
    if body != BODY and body != BODY + b"\n":      # some clients end with one more empty line
        raise lib.Failure("%s: the body is not what was sent:\n%r\n%r" % (token, body, BODY))
    if b" by client.example.com with E" not in b" ".join(head.split()):
        raise lib.Failure("%s: no Received field of ours:\n%s" % (token, head.decode("utf-8", "replace")))
    for field in (b"date", b"message-id", b"from"):
        if head.lower().count(b"\n" + field + b":") != 1:
            raise lib.Failure("%s: not exactly one %s:\n%s" %
                              (token, field.decode(), head.decode("utf-8", "replace")))


def install_packages(packages):
    if os.environ.get("POSTHOUSE_PEERS_INSTALL") != "1" or not shutil.which("apt-get"):
        return
    missing = [p for p in packages if subprocess.run(
        ["dpkg", "-s", p], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0]
    if not missing:
        return
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run(["apt-get", "-q", "update"], check=True, env=env)
    subprocess.run(["apt-get", "-qy", "install", "--no-install-recommends", *missing], check=True, env=env)


def main():
    if os.getuid() != 0:
        lib.skip("needs root, for a real Postfix as upstream")
    install_packages(PACKAGES)
    reason = need("/usr/sbin/postfix", "saslpasswd2")
    if reason:
        lib.skip(reason)
    failed = 0
    with lib.workplace("peers") as place:
        certs = lib.make_certs(place / "certs")
        upstream = Upstream(place, certs)
        daemon = None
        try:
            for endpoint in ("587", "465"):
                folder = place / endpoint
                folder.mkdir()
                daemon = lib.Daemon(folder, upstream, certs, endpoints=(endpoint,))
                (daemon.bin / "sendmail").symlink_to("posthouse-sendmail")
                for client in CLIENTS:
                    token = "%s-%s" % (client.__name__, endpoint)
                    reason = need(*client.needs)
                    if reason:
                        print("SKIP %s: %s" % (token, reason), flush=True)
                        continue
                    try:
                        client(daemon, place, token)
                        check(upstream.wait_for(token), token)
                        print("ok   %s" % token, flush=True)
                    except (lib.Failure, subprocess.SubprocessError, OSError, smtplib.SMTPException) as e:
                        failed += 1
                        print("FAIL %s: %s" % (token, e), flush=True)
                daemon.stop()
        finally:
            if daemon is not None:
                daemon.kill()
            upstream.postfix.stop()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

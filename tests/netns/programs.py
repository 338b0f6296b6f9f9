# SPDX-License-Identifier: BSD-2-Clause
"""The programs that stand side by side: each takes mail on the host and relays it.

All are asked the same: start(), submit() a message, waiting() (tokens still queued),
returned() (tokens of those given up), stop(). Each is set up as its documentation says for a smarthost with the ports 587,
465 and 2525, TLS verified and a login; times and retries are its defaults.
"""

import os
import pathlib
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile

import lib
import space

sys.path.insert(0, str(space.HERE.parent / "peers"))
import postfix  # noqa: E402

# It must not outlive a test that is killed.
MORTAL = ("setpriv", "--pdeathsig=KILL", "--")
AS_NOBODY = ("setpriv", f"--reuid={lib.ORDINARY}", f"--regid={lib.ORDINARY}", "--clear-groups",
             "--pdeathsig=KILL", "--")


class UnixSMTP(smtplib.SMTP):
    """Over the daemon's socket: a file, which all namespaces see."""

    def __init__(self, path):
        self.path = str(path)
        super().__init__("localhost", 25, local_hostname="local.example.com", timeout=lib.PATIENCE)

    def _get_socket(self, host, port, timeout):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(self.path)
        return s


class Daemon(lib.Daemon):
    """posthoused within the host's namespace, with its own times for retries."""

    backup = False      # a second relay

    def write_config(self):
        self.settings["queue"] = {"free_min": "0"}
        if self.backup:
            self.settings["relays"] = [self.settings["relays"][0],
                                       {**self.settings["relays"][0], "name": "backup", "host": space.BACKUP}]
        super().write_config()

    def _as_user(self):
        return {}       # the wrapper does it, behind nsenter, which needs root

    def client(self, timeout=None):
        return UnixSMTP(self.place / "run/smtp.sock")


class Posthouse:
    name = "posthouse"

    def __init__(self, world):
        self.world = world
        self.daemon = None

    @staticmethod
    def missing(install):
        return None

    @staticmethod
    def version():
        text = subprocess.run([lib.program("posthoused"), "--version"], capture_output=True,
                              text=True, check=True).stdout
        return text.split("\n")[0]

    def start(self):
        w = self.world
        kind = type("Daemon", (Daemon,), {"backup": w.backup})
        self.daemon = kind(w.place, w.sink, w.certs, relay={"host": space.SMARTHOST}, debug=True,
                             wrapper=(*w.path.host.enter(), *AS_NOBODY))

    def submit(self, token, size=0):
        return self.daemon.submit(token, body=lib.message(token, size=size))

    def log(self):
        return self.daemon.process.text()

    def waiting(self):
        """Tokens are not in the queue's listing, but in the messages."""
        found = set()
        for m in self.daemon.ctl("queue")["messages"]:
            p = subprocess.run([self.daemon.bin / "posthousectl", "-c", self.daemon.config, "cat",
                                m["id"]], capture_output=True, timeout=lib.PATIENCE)
            t = re.search(rb"(?m)^X-Token: (\S+)", p.stdout)
            if t:
                found.add(t.group(1).decode())
        return found

    def returned(self):
        return set()

    def stop(self):
        if self.daemon is not None:
            self.daemon.kill()


def text_of(token, size):
    return lib.message(token, size=size).replace(b"\r\n", b"\n")


class Postfix:
    """A null client with a list of relayhosts.

    One transport speaks STARTTLS or TLS from the first byte, not both, and there is no
    fall-back from one transport to another: port 465 can't stand in the list.
    """

    name = "Postfix"

    def __init__(self, world):
        self.world = world
        self.instance = p = postfix.Postfix(str(world.place / "postfix"))
        p.params.update(
            myhostname="client.example.com",
            inet_interfaces="loopback-only",
            inet_protocols="all" if world.path.six else "ipv4",
            relayhost=", ".join(f"[{host}]:{port}" for host in world.hosts for port in (587, 2525)),
            smtp_host_lookup="native",
            smtp_tls_security_level="secure",
            smtp_tls_CAfile=str(world.certs / "ca.pem"),
            smtp_sasl_auth_enable="yes",
            smtp_sasl_security_options="noanonymous",
            smtp_sasl_password_maps="static:%s:%s" % (lib.Sink.USER, lib.Sink.PASSWORD),
        )

    @staticmethod
    def missing(install):
        if not os.path.exists("/usr/sbin/postfix"):
            return "postfix is not installed"
        if not any(pathlib.Path("/usr/lib").glob("**/sasl2/libplain.so")):
            return "libsasl2-modules is not installed, so it can't log in"
        return None

    @staticmethod
    def version():
        return "Postfix " + subprocess.run(["/usr/sbin/postconf", "-dh", "mail_version"],
                                           capture_output=True, text=True).stdout.strip()

    def start(self):
        p = self.instance
        p.write()
        p.master = subprocess.Popen(
            self.world.path.host.enter(*MORTAL, "/usr/sbin/postfix", "-c", p.conf, "start-fg"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        space.wait_for_file(os.path.join(p.queue, "public/pickup"), p.master)

    def submit(self, token, size=0):
        subprocess.run(self.world.path.host.enter(
            "/usr/sbin/sendmail", "-C", self.instance.conf, "-i", "-f", "alice@example.com",
            "bob@example.net"), input=text_of(token, size), check=True, timeout=lib.PATIENCE)

    def log(self):
        return self.instance.log_text()

    def waiting(self):
        """The queue files hold the text as it is."""
        return tokens_below(self.instance.queue, ("maildrop", "incoming", "active", "deferred"))

    def returned(self):
        return set()    # they arrive as mail: not in the time that a case takes

    def stop(self):
        self.instance.stop()


class Nullmailer:
    """Three remotes. It runs from its unpacked package: Debian lets it be installed
    only in Postfix's place."""

    name = "nullmailer"
    program = None      # where it was unpacked

    def __init__(self, world):
        self.world = world
        self.process = None
        self.prefix = world.place / "nullmailer"
        shutil.copytree(self.program, self.prefix, symlinks=True)
        for name, target in (("bin", "usr/bin"), ("sbin", "usr/sbin"), ("protocols", "usr/lib/nullmailer")):
            (self.prefix / name).symlink_to(target)
        etc, spool = self.prefix / "conf", self.prefix / "queue"
        for folder in (etc, spool, *(spool / d for d in ("queue", "tmp", "failed"))):
            folder.mkdir()
        login = f"--user={lib.Sink.USER} --pass={lib.Sink.PASSWORD} --x509cafile={world.certs / 'ca.pem'}"
        (etc / "remotes").write_text("".join(
            f"{host} smtp --port={port} {tls} {login}\n"
            for host in world.hosts for port, tls in ((587, "--starttls"), (465, "--ssl"), (2525, "--starttls"))))
        (self.prefix / "mailname").write_text("client.example.com\n")
        os.mkfifo(spool / "trigger")
        self.spool = spool
        self.environment = dict(os.environ, NULLMAILER_TEST_PREFIX=str(self.prefix))

    @classmethod
    def missing(cls, install):
        """Unpacks Debian's package, if apt-get may fetch it."""
        if not install or not shutil.which("apt-get"):
            return "its package is only fetched with POSTHOUSE_PEERS_INSTALL=1"
        folder = pathlib.Path(tempfile.mkdtemp(prefix="nullmailer-", dir=install))
        folder.chmod(0o755)
        for command in (["apt-get", "-q", "download", "nullmailer"],
                        ["sh", "-c", "dpkg-deb -x nullmailer_*.deb root"]):
            p = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if p.returncode != 0:
                return f"{' '.join(command)}: {p.stderr.strip()}"
        cls.program = folder / "root"
        return None

    @classmethod
    def version(cls):
        name = next(cls.program.parent.glob("nullmailer_*.deb")).name
        return "nullmailer " + name.split("_")[1].replace("%3a", ":")

    def start(self):
        self.process = lib.Process(
            self.world.path.host.enter(*MORTAL, self.prefix / "usr/sbin/nullmailer-send"),
            "nullmailer-send", env=self.environment, merge=True)
        self.process.wait_line("Rescanning queue")

    def submit(self, token, size=0):
        subprocess.run(self.world.path.host.enter(
            self.prefix / "usr/sbin/sendmail", "-f", "alice@example.com", "bob@example.net"),
            input=text_of(token, size), check=True, timeout=lib.PATIENCE, env=self.environment)

    def log(self):
        return self.process.text()

    def waiting(self):
        return tokens_below(self.spool, ("queue", "tmp"))

    def returned(self):
        """Given up, and the sender is told."""
        return tokens_below(self.spool, ("failed",))

    def stop(self):
        if self.process is not None:
            self.process.kill()


def tokens_below(folder, names):
    found = set()
    for name in names:
        for path in (pathlib.Path(folder) / name).rglob("*"):
            try:
                text = path.read_bytes() if path.is_file() else b""
            except OSError:     # it has just moved on
                continue
            # Postfix's own framing follows without a line break.
            for t in re.findall(rb"X-Token: (t[0-9a-f]+x[0-9a-f]+z)", text):
                found.add(t.decode())
    return found

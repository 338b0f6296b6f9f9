# SPDX-License-Identifier: BSD-2-Clause
"""A real Postfix in a temporary directory: as the upstream that wants TLS and a
login, or as the null client that posthouse is measured against.

Needs root: Postfix's master insists on it. It listens on loopback alone.
"""

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import time

SBIN = "/usr/sbin/"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, seconds=20, process=None):
    """Until something listens there; the deadline only bounds a failure."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise RuntimeError("process ended with %d before it listened" % process.returncode)
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        select.select([], [], [], 0.02)
    raise RuntimeError("nothing listens on port %d after %d s" % (port, seconds))


class Postfix:
    """One instance: own configuration, queue and ports."""

    def __init__(self, top):
        self.top = top
        self.conf = os.path.join(top, "conf")
        self.queue = os.path.join(top, "queue")
        self.data = os.path.join(top, "data")
        self.mail = os.path.join(top, "mail")
        self.log = os.path.join(top, "postfix.log")
        self.master = None
        self.services = []
        self.params = {}
        user = pwd.getpwnam("postfix")
        os.makedirs(self.conf)
        os.makedirs(self.queue)
        os.makedirs(self.mail)
        os.makedirs(self.data)
        os.chmod(top, 0o755)
        os.chown(self.data, user.pw_uid, user.pw_gid)
        os.chown(self.mail, user.pw_uid, user.pw_gid)
        self.params.update(
            compatibility_level="3.6",
            queue_directory=self.queue,
            data_directory=self.data,
            command_directory="/usr/sbin",
            daemon_directory="/usr/lib/postfix/sbin",
            mail_owner="postfix",
            setgid_group="postdrop",
            myhostname="smarthost.test",
            mydestination="",
            mynetworks="127.0.0.0/8",
            inet_interfaces="127.0.0.1",
            inet_protocols="ipv4",
            alias_maps="",
            local_recipient_maps="",
            maillog_file=self.log,
            maillog_file_prefixes="/",
            biff="no",
            disable_vrfy_command="yes",
            smtpd_relay_restrictions="permit_mynetworks,reject",
            message_size_limit="52428800",
            import_environment="MAIL_CONFIG",
        )

    def service(self, line):
        self.services.append(line)

    def deliver_to_maildir(self, domain):
        """Everything for domain goes to one Maildir, mail/inbox/."""
        user = pwd.getpwnam("postfix")
        self.params.update(
            virtual_mailbox_domains=domain,
            virtual_mailbox_base=self.mail,
            virtual_mailbox_maps="static:inbox/",
            virtual_uid_maps="static:%d" % user.pw_uid,
            virtual_gid_maps="static:%d" % user.pw_gid,
            virtual_minimum_uid="1",
            virtual_mailbox_limit="0",
        )

    def require_login(self, user, password, certificate, key, mechanisms="PLAIN LOGIN"):
        """SASL from a sasldb of our own, and TLS."""
        sasl = os.path.join(self.conf, "sasl")
        database = os.path.join(self.conf, "sasldb2")
        os.makedirs(sasl)
        with open(os.path.join(sasl, "smtpd.conf"), "w") as f:
            f.write("pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                    "sasldb_path: %s\nmech_list: %s\n" % (database, mechanisms))
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", database, "-u", "smarthost.test", user],
                       input=password.encode(), check=True)
        shutil.chown(database, "postfix", "postfix")
        self.params.update(
            cyrus_sasl_config_path=sasl,
            smtpd_sasl_auth_enable="yes",
            smtpd_sasl_local_domain="smarthost.test",
            smtpd_tls_cert_file=certificate,
            smtpd_tls_key_file=key,
            smtpd_tls_auth_only="yes",
            smtpd_relay_restrictions="permit_sasl_authenticated,reject",
            smtpd_recipient_restrictions="permit_sasl_authenticated,reject",
            smtpd_client_restrictions="permit_sasl_authenticated,reject",
            smtpd_tls_loglevel="1",
        )

    def write(self):
        """The configuration, checked."""
        with open(os.path.join(self.conf, "main.cf"), "w") as f:
            for key, value in self.params.items():
                f.write("%s = %s\n" % (key, value))
        with open(os.path.join(self.conf, "master.cf"), "w") as f:
            f.write("\n".join(self.services) + "\n" + BACKGROUND)
        subprocess.run([SBIN + "postfix", "-c", self.conf, "check"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self, port):
        self.write()
        self.master = subprocess.Popen(
            [SBIN + "postfix", "-c", self.conf, "start-fg"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for_port(port, process=self.master)

    def stop(self):
        if self.master is None:
            return
        if self.master.poll() is None:
            # "postfix stop" ends the master whose pid is in our queue directory.
            subprocess.run([SBIN + "postfix", "-c", self.conf, "stop"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                self.master.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.master.pid, signal.SIGKILL)
                self.master.wait()
        self.master = None

    def messages(self):
        """What arrived, as bytes."""
        path = os.path.join(self.mail, "inbox")
        if not os.path.isdir(path):
            return []
        return [m for m in self._read(path)]

    def _read(self, path):
        for sub in ("new", "cur"):
            folder = os.path.join(path, sub)
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                with open(os.path.join(folder, name), "rb") as f:
                    yield f.read()

    def log_text(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, errors="replace") as f:
            return f.read()


def smtpd_service(port, *options):
    return "127.0.0.1:%d inet n - n - - smtpd%s" % (port, "".join(" -o " + o for o in options))


BACKGROUND = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
tlsmgr unix - - n 1000? 1 tlsmgr
tlsproxy unix - - n - 0 tlsproxy
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
"""

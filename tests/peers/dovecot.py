# SPDX-License-Identifier: BSD-2-Clause
"""A real Dovecot in a temporary directory that does nothing but logins, for a Postfix beside it.

Passwords are kept in clear, so that each mechanism can be done with them. Tokens are JWT, signed with
a key of this test and checked by Dovecot itself (RFC 7519, HS256).
"""

import base64
import hashlib
import hmac
import json
import os
import pwd
import select
import subprocess
import time

PASSWORDS = "plain login cram-md5 scram-sha-1 scram-sha-256"
TOKENS = "oauthbearer xoauth2"

CONFIG = """\
base_dir = {top}/run
state_dir = {top}/run
log_path = {top}/dovecot.log
auth_verbose = yes
protocols =
listen = 127.0.0.1
ssl = no
default_login_user = dovenull
default_internal_user = dovecot
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
auth_username_format = %u
{passdb}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {socket} {{
    mode = 0600
    user = postfix
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class Dovecot:
    """socket: where Postfix asks it."""

    def __init__(self, top, user, password, mechanisms):
        self.top = top
        self.socket = os.path.join(top, "login.sock")
        self.key = os.urandom(32)
        self.process = None
        os.makedirs(os.path.join(top, "run"))
        os.chmod(top, 0o755)
        if mechanisms == TOKENS:
            passdb = self._tokens()
        else:
            users = os.path.join(top, "users")
            self._write("users", "%s:{PLAIN}%s\n" % (user, password), "dovecot")
            passdb = "passdb {\n  driver = passwd-file\n  args = username_format=%%u %s\n}" % users
        self._write("dovecot.conf", CONFIG.format(
            top=top, mechanisms=mechanisms, passdb=passdb, socket=self.socket))

    def _write(self, name, text, owner=None):
        path = os.path.join(self.top, name)
        with open(path, "w") as f:
            f.write(text)
        if owner:
            user = pwd.getpwnam(owner)
            os.chown(path, user.pw_uid, user.pw_gid)
            os.chmod(path, 0o600)
        return path

    def _tokens(self):
        """Where the key is looked up: by authorized party, algorithm and name of the key."""
        os.makedirs(os.path.join(self.top, "keys/default/HS256"))
        self._write("keys/default/HS256/default", base64.b64encode(self.key).decode())
        name = self._write("oauth2.conf", "introspection_mode = local\n"
                           "local_validation_key_dict = fs:posix:prefix=%s/keys/\n"
                           "username_attribute = sub\n" % self.top)
        return ("passdb {\n  driver = oauth2\n  mechanisms = oauthbearer xoauth2\n"
                "  args = %s\n}" % name)

    def token(self, user, seconds=600):
        """For that user, for so long; one that is over if it is negative."""
        now = int(time.time())
        head = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        body = _encode(json.dumps({"sub": user, "iat": now - 1000, "exp": now + seconds}).encode())
        signed = head + b"." + body
        return (signed + b"." + _encode(hmac.new(self.key, signed, hashlib.sha256).digest())).decode()

    def start(self):
        self.process = subprocess.Popen(
            ["dovecot", "-F", "-c", os.path.join(self.top, "dovecot.conf")], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("Dovecot does not start: " + self.log_text())
            select.select([], [], [], 0.02)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        self.process = None

    def log_text(self):
        path = os.path.join(self.top, "dovecot.log")
        if not os.path.exists(path):
            return ""
        with open(path, errors="replace") as f:
            return f.read()

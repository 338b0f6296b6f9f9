# SPDX-License-Identifier: BSD-2-Clause
"""Users, secrets and processes of the real daemon, and what a reload does to mail under load.

As root everything runs in a network namespace of its own, where port 25 is free.
"""

import base64
import collections
import contextlib
import ctypes
import os
import pathlib
import pwd
import re
import select
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import threading

import lib
from lib import Failure
from test_supervisor import Posthoused, expect, ids, ids_parent

ROOT = os.getuid() == 0
VERSION = subprocess.run([lib.program("posthoused"), "--version"], capture_output=True,
                         text=True, check=True).stdout
SANITIZED = not re.search("^  sanitizers +no$", VERSION, re.M)
SECRET = lib.Sink.PASSWORD


def user_of(name, other):
    """The package's user, or one that every system has."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)
    return pwd.getpwnam(other)


USER = user_of("posthouse", "nobody")
INTAKE = user_of("posthouse-intake", "daemon")


def reads_memory(function):
    def test():
        if SANITIZED:       # its shadow is terabytes, and its options are passed on
            return print(f"     (sanitizers: {function.__name__} is skipped)")
        return function()
    test.__name__ = function.__name__
    return test


def needs_root(function):
    def test():
        if not ROOT:
            return print(f"     (not root: {function.__name__} is skipped)")
        return function()
    test.__name__ = function.__name__
    return test


@contextlib.contextmanager
def relayed(name, as_root=False, secret_owner=None, **options):
    """posthoused with a sink as its smarthost, and the password in a file."""
    with lib.workplace(name) as place:
        certs = lib.make_certs(place / "certs")
        sink = lib.Sink(place / "sink", certs)
        (place / "daemon").mkdir()
        if as_root:
            options.update(user=USER.pw_name, intake_user=INTAKE.pw_name)
        p = Posthoused(place / "daemon", as_root=as_root, **options)
        p.secret = p.place / "password"
        p.secret.write_text(SECRET + "\n")
        p.secret.chmod(0o600)
        if ROOT:
            owner = USER.pw_uid if as_root else lib.ORDINARY
            os.chown(p.secret, owner if secret_owner is None else secret_owner, -1)
        p.settings["queue"].update(retry_first="200ms", retry_max="1s", uncertain="500ms")
        p.settings["relays"] = [{
            "name": "main", "host": "localhost", "user": sink.USER,
            "password_file": str(p.secret), "ca_file": str(certs / "ca.pem"),
            "endpoints": [{"port": sink.ports["587"], "tls": "starttls"},
                          {"port": sink.ports["465"], "tls": "implicit"}]}]
        p.write_config()
        try:
            yield sink, p
        finally:
            if p.process is not None:
                p.process.kill()
            sink.kill()


def processes(p):
    found = {"supervisor": p.process.child.pid, "relay": p.role("relay"), "intake": p.role("intake")}
    parent = ids_parent(found["intake"])
    if parent != found["supervisor"]:
        found["spawner"] = parent
    return found


def memory(pid):
    """All that root can read of a process."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            first, last, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if mode[0] == "r":
                with contextlib.suppress(OSError, OverflowError, ValueError):
                    mem.seek(int(first, 16))
                    yield mem.read(int(last, 16) - int(first, 16))


def holds(pid, needles):
    return any(needle in block for block in memory(pid) for needle in needles)


def descriptors(pid):
    return {int(n): os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}


# --- privileges -------------------------------------------------------------------


@needs_root
def test_port_25_and_no_way_back():
    with relayed("guard-root", as_root=True, sandbox="required") as (sink, p):
        p.settings["listen"] = ["127.0.0.1:25", "[::1]:25"]
        p.write_config()
        p.config.chmod(0o640)
        os.chown(p.config, 0, USER.pw_gid)
        p.start()
        p.submit(25)
        sink.wait_received(1)
        for role, pid in processes(p).items():
            who = INTAKE if role in ("intake", "spawner") else USER
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            got = ids(pid)
            expect(got["Uid"].split() == [str(who.pw_uid)] * 4, f"{role}: {got}")
            expect(got["Gid"].split() == [str(who.pw_gid)] * 4, f"{role}: {got}")
            expect(got["Groups"].strip() == "", f"{role}: {got}")
            for word in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                expect(re.search(rf"^{word}:\t0+$", status, re.M), f"{role}: {status}")
            expect("NoNewPrivs:\t1" in status, f"{role}: {status}")
            expect("Seccomp:\t2" in status or re.search("^  seccomp +no$", VERSION, re.M),
                   f"{role}: {status}")
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
            expect(re.search(r"core file size +0 +0 ", limits), f"{role}: {limits}")
        p.reload()          # the file is read as the user
        p.submit(25)
        p.stop()


@needs_root
def test_files_that_only_root_reads():
    with relayed("guard-root-files", as_root=True, secret_owner=0) as (_, p):
        for got in (p.run("-t"), p.run()):
            expect(got.returncode != 0 and f'chown {USER.pw_name}' in got.stderr
                   and "password" in got.stderr, f"{got}")
        os.chown(p.secret, USER.pw_uid, -1)
        expect(p.run("-t").returncode == 0, "a password file of the user's is refused")
        p.config.chmod(0o600)
        got = p.run("-t")
        expect(got.returncode == 78 and f"chgrp {USER.pw_name}" in got.stderr, f"{got}")
        p.start()
        text = p.process.text()
        expect("a reload will fail" in text and f"chgrp {USER.pw_name}" in text, text)
        mark = p.process.mark()
        p.signal(signal.SIGHUP)
        p.process.wait_line("reload-refused", mark)
        expect(f"chgrp {USER.pw_name}" in p.process.text(mark), p.process.text(mark))
        p.submit()
        p.stop()


def test_umask():
    """Whatever root's umask is, sendmail's users reach the socket, and nobody the queue."""
    with relayed("guard-umask") as (_, p):
        p.wrapper = ["sh", "-c", 'umask 077 && exec "$0" "$@"']
        p.start()
        for name, mode in (("run", 0o755), ("run/smtp.sock", 0o666), ("run/status.sock", 0o666),
                           ("run/control.sock", 0o600), ("state", 0o700),
                           ("state/history", 0o750)):
            got = (p.place / name).stat().st_mode & 0o777
            expect(got == mode, f"{name}: {got:o}")
        p.stop()


def can_filter():
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    return not SANITIZED        # what a sanitizer calls is not the unit's business


def test_units_call_filter():
    """The daemon and its own sandbox work under what the unit allows."""
    unit = lib.BUILD / "systemd/posthouse.service"
    if not unit.exists() or not shutil.which("systemd-analyze") or not can_filter():
        return print("     (no unit, systemd-analyze or libseccomp: test_units_call_filter is skipped)")
    with relayed("guard-filter", sandbox="required") as (sink, p):
        p.wrapper = [sys.executable, "-B", lib.TOP / "tests/system/callfilter.py", unit,
                     str(lib.ORDINARY)]
        p.as_root = ROOT            # the wrapper becomes the user; the files are his already
        p.start()
        p.submit()
        p.reload()
        p.submit()
        sink.wait_received(2)
        p.stop()


# --- secrets ----------------------------------------------------------------------


@needs_root
@reads_memory
def test_who_holds_what():
    with relayed("guard-secrets", as_root=True, debug=True) as (sink, p):
        p.start()
        p.submit()
        sink.wait_received(1)
        login = base64.b64encode(f"\0{sink.USER}\0{SECRET}".encode())
        found = processes(p)
        expect(holds(found["relay"], [SECRET.encode()]), "the search itself finds nothing")
        for role, pid in found.items():
            if role != "relay":
                expect(not holds(pid, [SECRET.encode(), login]), f"{role} has the password")
            for file in ("environ", "cmdline", "status"):
                expect(SECRET.encode() not in pathlib.Path(f"/proc/{pid}/{file}").read_bytes(),
                       f"{role}: /proc/PID/{file}")
            held = descriptors(pid)
            files = [t for t in held.values() if t.startswith("/") and t != "/dev/null"]
            if role == "intake":
                expect(files == [] and not any("memfd" in t for t in held.values()), f"{held}")
            elif role == "relay":
                expect(all(f.startswith((str(p.place / "state/spool"), str(p.place / "state/history")))
                           for f in files), f"{held}")
                expect(not any("memfd" in t for t in held.values()), f"{held}")
            elif role == "spawner":
                expect(files == [str(p.binary)] and max(held) <= 5, f"{held}")
        p.reload()
        p.stop()
        for text in (p.process.text(), p.run("--dump").stdout, p.config.read_text()):
            expect(SECRET not in text and login.decode() not in text, "the password is shown")
        for path in (p.place / "state").rglob("*"):
            expect(not path.is_file() or SECRET.encode() not in path.read_bytes(), f"{path}")


@needs_root
@reads_memory
def test_environment_stays_with_the_supervisor():
    with relayed("guard-env", as_root=True) as (sink, p):
        del p.settings["relays"][0]["password_file"]
        p.settings["relays"][0]["password_env"] = "SMTP_PASSWORD"
        p.env["SMTP_PASSWORD"] = SECRET
        p.write_config()
        p.start()
        p.submit()
        sink.wait_received(1)
        for role in ("intake", "spawner"):
            pid = processes(p)[role]
            expect(not holds(pid, [SECRET.encode()]), f"{role} has the password")
            expect(SECRET not in pathlib.Path(f"/proc/{pid}/environ").read_text(), role)
        p.reload()
        p.stop()


def test_new_password_is_used():
    with relayed("guard-password") as (sink, p):
        p.secret.write_text("not-the-one\n")
        p.start()
        p.submit()
        p.process.wait_line("account-blocked")
        p.secret.write_text(SECRET + "\n")
        p.reload()
        ctl(p, "unblock")
        sink.wait_received(1)
        p.stop()


def ctl(p, *words):
    program = p.place / "posthousectl"
    shutil.copy2(lib.program("posthousectl"), program)
    got = subprocess.run([program, "-c", p.config, *words], capture_output=True, text=True,
                         timeout=lib.PATIENCE, **p.who())
    expect(got.returncode == 0, f"posthousectl {words}: {got}")


# --- reload -----------------------------------------------------------------------


class Load:
    """Clients that send a message a connection; every answer but 250 is noted."""

    def __init__(self, p, clients):
        self.p = p
        self.acknowledged = []
        self.wrong = collections.Counter()
        self.done = threading.Event()
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _send(self, token):
        with self.p.client() as c:
            c.sendmail("alice@example.com", ["bob@example.net"], lib.message(token))
            with self.changed:
                self.acknowledged.append(token)
                self.changed.notify_all()

    def _run(self):
        while not self.done.is_set():
            token = lib.new_token()
            try:
                self._send(token)
            except (OSError, smtplib.SMTPException) as error:
                if token not in self.acknowledged:      # else only its QUIT came too late
                    self.wrong[f"{type(error).__name__}: {error}"] += 1

    def wait_more(self, n):
        with self.changed:
            goal = len(self.acknowledged) + n
            if not self.changed.wait_for(lambda: len(self.acknowledged) >= goal, lib.PATIENCE):
                raise Failure(f"no mail is taken; wrong: {self.wrong}\n{self.p.process.text()[-3000:]}")

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join()


def check_received(sink, load):
    """Every acknowledged message came, none twice."""
    sink.wait_received(len(load.acknowledged))
    got = collections.Counter(m.header("X-Token") for m in sink.messages() if m.acknowledged)
    lost = [t for t in load.acknowledged if not got[t]]
    expect(not lost, f"lost: {lost}")
    expect(max(got.values()) == 1, f"repeated: {[t for t, n in got.items() if n > 1]}")


def test_reloads_under_load():
    with relayed("guard-reloads", limits={"connections_per_client": 100}) as (sink, p):
        p.start()
        load = Load(p, 10)
        for _ in range(20):
            load.wait_more(3)
            p.reload()
        load.stop()
        expect(not load.wrong, f"clients were refused: {load.wrong}")
        check_received(sink, load)
        lives = 0
        for line in p.process.lines:        # never two relays
            if re.search("role-ready role=relay", line):
                lives += 1
            elif re.search("role-ended role=relay", line):
                lives -= 1
            expect(lives <= 1, "two relays")
        p.stop()


def test_stop_under_load():
    with relayed("guard-stop", limits={"connections_per_client": 100}) as (sink, p):
        p.start()
        load = Load(p, 5)
        load.wait_more(20)
        p.signal(signal.SIGHUP)
        p.process.wait_line(">reload ")
        p.signal(signal.SIGTERM)            # in the middle of the reload
        expect(p.process.wait_exit() == 0, p.process.text())
        load.stop()
        p.start()
        check_received(sink, load)
        p.stop()


def test_reload_needs_what_it_names():
    """A new relay that could not start must not cost the old one."""
    with relayed("guard-ca") as (sink, p):
        good = p.settings["relays"][0]["ca_file"]
        p.start()
        before = p.role("relay")
        for bad in ("/nonexistent/ca.pem", str(p.config)):
            p.settings["relays"][0]["ca_file"] = bad
            p.write_config()
            expect(p.run("-t").returncode == 78, f"-t takes {bad}")
            mark = p.process.mark()
            p.signal(signal.SIGHUP)
            line = p.process.wait_line("reload-refused", mark)
            expect("ca_file" in line and bad in line, line)
        p.submit()
        expect(p.role("relay") == before, "relay was replaced")
        p.settings["relays"][0]["ca_file"] = good
        p.write_config()
        p.reload()
        sink.wait_received(1)
        p.stop()


def test_reload_without_a_role():
    with relayed("guard-dead") as (sink, p):
        p.start()
        for role in ("relay", "intake"):
            for _ in range(3):          # so that it is not started again at once
                mark = p.process.mark()
                os.kill(p.role(role), signal.SIGKILL)
                p.process.wait_line(f"role-restart.*{role}", mark)
                if _ < 2:
                    p.process.wait_line(f"role-ready role={role}", mark)
            p.reload()
            p.submit()
        sink.wait_received(2)
        p.stop()


def test_one_generation_runs_one_version():
    """The binary is replaced on disk: roles go on with the one that runs."""
    with relayed("guard-binary") as (sink, p):
        p.start()
        old = p.binary.stat().st_ino
        p.binary.unlink()
        p.binary.write_text("#!/bin/false\n")
        p.binary.chmod(0o755)
        expect(p.binary.stat().st_ino != old, "it is the same file")
        p.reload()
        mark = p.process.mark()
        os.kill(p.role("intake"), signal.SIGKILL)
        p.process.wait_line("role-ready role=intake", mark)
        p.submit()
        sink.wait_received(1)
        p.stop()


# --- processes that end -----------------------------------------------------------


def test_start_after_the_supervisor_was_killed():
    """Its roles drain for a while; the next daemon starts beside them, with one relay at a time."""
    with relayed("guard-orphans") as (sink, p):
        p.start()
        p.submit()
        sink.wait_received(1)
        for port in ("587", "465"):
            sink.fault(port, "body", "hang")
        mark = sink.mark()
        p.submit()
        sink.wait_line(r"\* fault", mark)
        orphan = os.pidfd_open(p.role("relay"))
        p.process.child.kill()
        p.process.wait_exit()
        p.start()                       # ready: its relay has the spool
        for port in ("587", "465"):
            sink.reset(port)
        expect(select.select([orphan], [], [], 0)[0], "the old relay still lives")
        p.submit()
        sink.wait_received(3)
        p.stop()


def test_terms_to_all():
    """systemctl kill and pkill signal every process: the supervisor still drains in order."""
    with relayed("guard-kill-all") as (sink, p):
        p.start()
        c = lib.begin_message(p.client())
        mark = p.process.mark()
        for pid in processes(p).values():
            os.kill(pid, signal.SIGTERM)
        p.process.wait_line("stopping", mark)
        c.send(b"Subject: late\r\n\r\nlate\r\n.\r\n")
        code, text = c.getreply()
        expect(code == 250, f"{code} {text}")
        expect(p.process.wait_exit() == 0, p.process.text())


def enter_namespace():
    """As root: run this again in a network of its own."""
    if ROOT and "POSTHOUSE_TEST_INSIDE" not in os.environ:
        own = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"']
        if subprocess.run([*own, "true"], capture_output=True).returncode != 0:
            lib.skip("no network namespace to be had, though root")
        os.execvpe(own[0], [*own, sys.executable, "-B", *sys.argv],
                   {**os.environ, "POSTHOUSE_TEST_INSIDE": "1"})


if __name__ == "__main__":
    enter_namespace()
    lib.run_tests(globals())

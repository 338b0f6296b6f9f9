# SPDX-License-Identifier: BSD-2-Clause
"""Start the real programs, talk to them, and wait for what they say.

All waiting is for an event (a line, a file descriptor, an exit) with a deadline;
nothing here waits for time to pass.
"""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import re
import select
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

TOP = pathlib.Path(os.environ.get("top_srcdir", pathlib.Path(__file__).parents[2])).resolve()
BUILD = pathlib.Path(os.environ.get("top_builddir", TOP / "build")).resolve()

# Deadlines are for failures only; slow machines and sanitizers get ten times as long.
PATIENCE = float(os.environ.get("POSTHOUSE_TEST_PATIENCE", "90"))


class Failure(Exception):
    """What was expected did not happen."""


# What the sanitizers of gcc and clang print. A role that died of it is started
# again, so that the mail may well arrive in spite of it.
REPORT = re.compile(r"runtime error:|(Address|Leak|Thread|UndefinedBehavior)Sanitizer")
reports = []


class Process:
    """A child whose lines of output are kept and can be waited for."""

    def __init__(self, argv, name, env=None, merge=False, cwd=None, stdin=subprocess.PIPE,
                 **how):
        self.name = name
        self.lines = []
        self.changed = threading.Condition()
        self.open_streams = 0
        self.child = subprocess.Popen(
            [str(a) for a in argv], stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else None, env=env, cwd=cwd,
            start_new_session=True, **how)
        self._follow(self.child.stdout)

    def _follow(self, stream):
        self.open_streams += 1

        def run():
            for raw in stream:
                line = raw.decode("utf-8", "replace").rstrip("\n")
                if REPORT.search(line):
                    reports.append(f"{self.name}: {line}")
                with self.changed:
                    self.lines.append(line)
                    self.changed.notify_all()
            with self.changed:
                self.open_streams -= 1
                self.changed.notify_all()

        self.reader = threading.Thread(target=run, daemon=True)
        self.reader.start()

    def wait_until(self, condition, what, timeout=None):
        """Until condition(lines) is true; it is asked again whenever a line comes."""
        deadline = time.monotonic() + (timeout or PATIENCE)
        with self.changed:
            while True:
                got = condition(self.lines)
                if got:
                    return got
                left = deadline - time.monotonic()
                if left <= 0 or self.open_streams == 0:
                    why = "no output any more" if self.open_streams == 0 else "too late"
                    tail = "\n".join(self.lines[-40:])
                    raise Failure(f"{self.name}: waited for {what}: {why}; it said last:\n{tail}")
                self.changed.wait(left)

    def wait_line(self, pattern, start=0, timeout=None):
        """The first line from number start on that the pattern is found in."""
        want = re.compile(pattern)

        def look(lines):
            for line in lines[start:]:
                if want.search(line):
                    return line
            return None

        return self.wait_until(look, f"a line like {pattern!r}", timeout)

    def mark(self):
        with self.changed:
            return len(self.lines)

    def text(self, start=0):
        with self.changed:
            return "\n".join(self.lines[start:])

    def send(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def wait_exit(self, timeout=None):
        """Exit status; all that it said is in lines by then."""
        try:
            status = self.child.wait(timeout or PATIENCE)
            with self.changed:
                self.changed.wait_for(lambda: self.open_streams == 0, 5)
            return status
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: does not end; it said last:\n"
                          + "\n".join(self.lines[-40:])) from None

    def kill(self):
        """The whole group, so that no role is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        self.reader.join(5)     # what it said last
        if self.child.stdin:
            with contextlib.suppress(OSError):
                self.child.stdin.close()


class Received:
    """One message as the sink stored it."""

    def __init__(self, path):
        head, _, self.body = path.read_bytes().partition(b"\n\n")
        self.name = path.name
        self.to = []
        self.parameters_of = {}                     # recipient -> what RCPT said behind it
        fields = {}
        for line in head.decode("utf-8", "surrogateescape").split("\n"):
            key, _, value = line.partition(": ")
            if key == "to":
                self.to.append(value)
            elif key == "parameters-of":
                address, _, said = value.partition(" ")
                self.parameters_of[address] = said
            fields[key] = value
        self.port = fields["port"]
        self.session = fields["session"]
        self.number = int(fields["message"])        # in its session, from 1
        # As time.monotonic():
        self.began = int(fields["began"]) / 1e6     # the session
        self.at = int(fields["at"]) / 1e6           # the final dot came
        self.tls = fields["tls"]
        self.user = fields["user"]
        self.sender = fields["from"]
        self.parameters = fields["parameters"]
        self.acknowledged = fields["acknowledged"] == "yes"

    def header(self, name):
        """First header field of that name, unfolded, or None."""
        head = self.body.partition(b"\r\n\r\n")[0]
        m = re.search(rb"(?im)^" + re.escape(name.encode()) + rb":[ \t]*([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)",
                      head)
        return re.sub(r"\r\n[ \t]+", " ", m.group(1).decode("utf-8", "replace")).strip() \
            if m else None

    def text(self):
        return self.body.partition(b"\r\n\r\n")[2]


class Sink(Process):
    """posthouse-sink with its three ports."""

    USER = "web1"
    PASSWORD = "correct-horse-battery"

    def __init__(self, folder, certs, extra=(), binary=None, wrapper=()):
        self.dir = pathlib.Path(folder)
        super().__init__(
            [*wrapper, binary or BUILD / "tests/sink/posthouse-sink", "--certs", certs, "--dir", self.dir,
             "--user", self.USER, "--password", self.PASSWORD, "--control", "-", "--events",
             *extra], "posthouse-sink")
        self.wait_line("^ready$")
        self.ports = {m.group(1): int(m.group(2)) for m in
                      (re.match(r"port (\S+) (\d+)$", line) for line in self.lines) if m}

    def command(self, line):
        start = self.mark()
        self.send(line)
        answer = self.wait_line(r"^(ok|error)\b", start)
        if not answer.startswith("ok"):
            raise Failure(f"posthouse-sink: {line}: {answer}")
        return answer

    def set(self, port, key, value):
        self.command(f"set {port} {key} {value}")

    def fault(self, port, step, action, **more):
        words = [f"{k}={v}" for k, v in more.items() if k != "text"]
        if "text" in more:
            words.append(f"text={more['text']}")
        self.command(" ".join(["fault", str(port), step, str(action), *words]))

    def reset(self, port):
        self.command(f"reset {port}")

    def refuse_all(self):
        """Mail stays in the queue, until reset_all()."""
        for port in self.ports:
            self.set(port, "listen", "refuse")

    def reset_all(self):
        for port in self.ports:
            self.reset(port)

    def cut(self, port):
        self.command(f"cut {port}")

    def stats(self, port):
        return {k: int(v) for k, v in
                (w.split("=") for w in self.command(f"stats {port}").split()[1:])}

    def messages(self):
        return [Received(p) for p in sorted((self.dir / "mail").iterdir())]

    def wait_received(self, count, start=0, timeout=None):
        """Until count messages have come since line start (acknowledged or not)."""
        self.wait_until(
            lambda lines: sum(1 for n in lines[start:] if n.startswith("* received ")) >= count,
            f"{count} messages", timeout)

    def clear(self):
        """Every byte that came outside TLS."""
        return (self.dir / "clear").read_bytes()

    def stop(self):
        self.child.stdin.close()
        status = self.wait_exit()
        if status != 0:
            raise Failure(f"posthouse-sink: exit status {status}")


class HeldPort:
    """A loopback port that stays ours: bound, not listening, shared by SO_REUSEADDR."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.number = self.socket.getsockname()[1]


def landlock():
    """Which version the kernel has; below 1: none."""
    return ctypes.CDLL(None, use_errno=True).syscall(444, None, ctypes.c_size_t(0), 1)


# The tightest sandbox: a role that could not have it would not start.
SANDBOX = "required" if landlock() >= 1 else "best-effort"

ORDINARY = 65534    # nobody: who runs the daemon when the tests run as root


def program(name):
    for path in (BUILD / name, BUILD / "tests/system" / name):
        if path.is_file():
            return path
    raise Failure(f"{name} is not built in {BUILD}")


def copy_program(name, folder):
    """BUILD may be closed to other users.

    Copied by a process of its own: a child that another thread forks meanwhile
    would hold the new file open for writing, and nobody could run it (ETXTBSY).
    """
    subprocess.run(["cp", program(name), folder], check=True)


def config_text(value, indent=""):
    """Python values as libconfig text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        inner = "".join(f"{indent}  {k} = {config_text(v, indent + '  ')};\n"
                        for k, v in value.items())
        return "{\n" + inner + indent + "}"
    if isinstance(value, list):
        brackets = "()" if value and isinstance(value[0], dict) else "[]"
        return brackets[0] + ", ".join(config_text(v, indent) for v in value) + brackets[1]
    raise TypeError(type(value))


class Daemon:
    """posthoused with its own configuration, directories and port, as an ordinary user."""

    def __init__(self, place, sink, certs, endpoints=("587", "465", "2525"), binary="posthoused",
                 queue=None, relay=None, wrapper=(), **options):
        self.place = pathlib.Path(place)
        self.wrapper = wrapper
        self.sink = sink
        self.port = HeldPort()
        self.process = None
        self.binary = binary
        self.bin = self.place / "bin"
        self.bin.mkdir()
        for name in (binary, "posthousectl", "posthouse-sendmail"):
            copy_program(name, self.bin)
        for name in ("state", "run"):
            (self.place / name).mkdir()
        secret = self.place / "password"
        secret.write_text(sink.PASSWORD + "\n")
        secret.chmod(0o600)
        tls = {"587": "starttls", "465": "implicit", "2525": "starttls"}
        self.settings = {
            "hostname": "client.example.com",
            "admin": "admin@example.com",
            "listen": [f"127.0.0.1:{self.port.number}"],
            "state_dir": str(self.place / "state"),
            "runtime_dir": str(self.place / "run"),
            "sandbox": SANDBOX,
            "drain": "5s",
            "queue": {"retry_first": "200ms", "retry_max": "1s", "uncertain": "500ms",
                      "free_min": "0", "user_share": 100, **(queue or {})},
            "limits": {"connections_per_client": 500},
            **options,
            "relays": [{k: v for k, v in {
                "name": "main", "host": "localhost", "user": sink.USER,
                "password_file": str(secret), "ca_file": str(pathlib.Path(certs) / "ca.pem"),
                "endpoints": [{"port": sink.ports[p], "tls": tls[p]} for p in endpoints],
                **(relay or {}),        # None: it is left out
            }.items() if v is not None}],
        }
        self.config = self.place / "posthouse.conf"
        self.write_config()
        if os.getuid() == 0:
            for path in (self.place / "state", self.place / "run", secret):
                os.chown(path, ORDINARY, ORDINARY)
        self.log = []
        self.start()

    def write_config(self):
        text = "".join(f"{k} = {config_text(v)};\n" for k, v in self.settings.items())
        self.config.write_text(text)

    def _as_user(self):
        return {"user": ORDINARY, "group": ORDINARY, "extra_groups": []} \
            if os.getuid() == 0 else {}

    def start(self):
        """Returns when the daemon says that it is ready, as it does to systemd."""
        path = self.place / "notify"
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(str(path))
        path.chmod(0o666)
        env = dict(os.environ, NOTIFY_SOCKET=str(path))
        self.process = Process([*self.wrapper, self.bin / self.binary, "-c", self.config],
                               self.binary, env=env, merge=True, cwd=self.place, stdin=subprocess.DEVNULL,
                               **self._as_user())
        deadline = time.monotonic() + PATIENCE
        told = b""
        while b"READY=1" not in told.split(b"\n"):
            ready = select.select([notify], [], [], max(0, deadline - time.monotonic()))[0]
            if not ready:
                raise Failure("posthoused: is not ready; it said:\n" + self.process.text())
            told = notify.recv(4096)
        self.notify = notify

    def stop(self):
        """SIGTERM; it must end with status 0."""
        self.process.child.send_signal(signal.SIGTERM)
        status = self.process.wait_exit()
        if status != 0:
            raise Failure(f"posthoused: exit status {status}:\n{self.process.text()[-4000:]}")

    def roles(self):
        """Word -> process id of the children by their command line."""
        found = {}
        pid = self.process.child.pid
        try:
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return found
        for pid in children:
            with contextlib.suppress(OSError):
                line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                for role in ("intake", "relay"):
                    if role.encode() in line:
                        found[role] = int(pid)
        return found

    def client(self, timeout=None):
        return smtplib.SMTP("127.0.0.1", self.port.number, local_hostname="local.example.com",
                            timeout=timeout or PATIENCE)

    def submit(self, token, to=("bob@example.net",), sender="alice@example.com", body=None,
               client=None):
        """One message by SMTP; its queue id from the reply to the dot."""
        own = client or self.client()
        try:
            own.ehlo_or_helo_if_needed()
            self._expect(own.mail(sender), 250)
            for rcpt in to:
                self._expect(own.rcpt(rcpt), 250)
            code, text = own.data(body or message(token, sender, to))
            self._expect((code, text), 250)
            return queue_id(text)
        finally:
            if client is None:
                with contextlib.suppress(smtplib.SMTPException, OSError):
                    own.quit()

    @staticmethod
    def _expect(answer, code):
        if answer[0] != code:
            raise Failure(f"wanted {code}, got {answer[0]} {answer[1].decode()}")

    def sendmail(self, argv, text, check=True):
        p = subprocess.run([self.bin / "posthouse-sendmail", *argv], input=text, capture_output=True,
                           timeout=PATIENCE, env=dict(os.environ, **self.sendmail_env()))
        if check and p.returncode != 0:
            raise Failure(f"sendmail: status {p.returncode}: {p.stderr.decode()}")
        return p

    def sendmail_env(self):
        return {"POSTHOUSE_SOCKET": str(self.place / "run/smtp.sock")}

    def ctl(self, *words):
        p = subprocess.run([self.bin / "posthousectl", "-c", self.config, "--json", *words],
                           capture_output=True, timeout=PATIENCE, **self._as_user())
        if p.returncode != 0:
            raise Failure(f"posthousectl {' '.join(words)}: status {p.returncode}: "
                          f"{p.stderr.decode()}{p.stdout.decode()}")
        return json.loads(p.stdout)

    def ports(self):
        """Name of the sink's port -> its row in posthousectl ports."""
        names = {number: name for name, number in self.sink.ports.items()}
        return {names[row["port"]]: row for row in self.ctl("ports")["ports"]}

    def kill(self):
        """kill -9 of all processes, and wait until all are gone."""
        if self.process is None:
            return
        gone = []
        for pid in self.roles().values():
            with contextlib.suppress(ProcessLookupError):
                gone.append(os.pidfd_open(pid))
        for fd in gone:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        self.process.kill()
        for fd in gone:
            select.select([fd], [], [], PATIENCE)
            os.close(fd)


_tokens = itertools.count(1)


def new_token(word="t"):
    """A word that occurs in one message alone."""
    return f"{word}{os.getpid():x}x{next(_tokens):x}z"


def message(token, sender="alice@example.com", to=("bob@example.net",), size=0):
    """A whole message; its last line proves that nothing is missing."""
    filler = b"".join(b"%06d " % i + b"x" * 60 + b"\r\n" for i in range(size // 69 + 1)) \
        if size else b""
    return (f"From: {sender}\r\nTo: {', '.join(to)}\r\nSubject: {token}\r\n"
            f"X-Token: {token}\r\n\r\nbegin {token}\r\n").encode() + filler + \
        f".dot\r\nend {token}\r\n".encode()


def begin_message(client):
    """Up to the reply to DATA: a message is under way."""
    client.ehlo()
    client.mail("a@example.com")
    client.rcpt("b@example.net")
    client.putcmd("DATA")
    code, text = client.getreply()
    if code != 354:
        raise Failure(f"DATA: {code} {text.decode()}")
    return client


def is_whole(received, token):
    text = received.text()
    return text.startswith(f"begin {token}\r\n".encode()) and \
        text.endswith(f".dot\r\nend {token}\r\n".encode())


def queue_id(reply):
    """The id in the reply to the final dot."""
    m = re.search(rb"\b([0-9a-f]{16})\b", reply)
    if not m:
        raise Failure(f"no id in {reply!r}")
    return m.group(1).decode()


@contextlib.contextmanager
def world(name, daemon=True, before=None, keep=True, **options):
    """A sink and a daemon that relays to it. before(sink): set faults before it starts."""
    with workplace(name, keep) as place:
        certs = make_certs(place / "certs")
        sink = Sink(place / "sink", certs)
        posthouse = None
        try:
            if before:
                before(sink)
            if daemon:
                posthouse = Daemon(place, sink, certs, **options)
            yield sink, posthouse
        except BaseException:
            if posthouse:
                (place / "posthoused.log").write_text(posthouse.process.text())
            raise
        finally:
            if posthouse:
                posthouse.kill()
            sink.kill()


@contextlib.contextmanager
def workplace(name, keep=True):
    """A fresh directory; it is kept when the test fails, and the test says where."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"posthouse-{name}-"))
    path.chmod(0o755)
    try:
        yield path
    except BaseException:
        if keep:
            print(f"kept for inspection: {path}")
        else:
            shutil.rmtree(path, ignore_errors=True)
        raise
    shutil.rmtree(path)


def make_certs(folder, *names):
    subprocess.run([TOP / "tests/sink/make-certs.sh", folder, *names], check=True)
    return pathlib.Path(folder)


CLONE_NEWNS = 0x20000
LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def memory_disk(name, size):
    """A directory in memory, seen by this process and its children alone; None: not permitted."""
    with workplace(name) as place:
        path = place / "disk"
        path.mkdir()
        options = f"mode=0700,uid={ORDINARY},gid={ORDINARY},size={size}" if os.getuid() == 0 else f"size={size}"
        if LIBC.unshare(CLONE_NEWNS) != 0 or subprocess.run(
                ["mount", "--make-rprivate", "/"], capture_output=True).returncode != 0 or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True).returncode != 0:
            yield None
            return
        try:
            yield path
        finally:
            subprocess.run(["umount", path], check=True)


def skip(reason):
    """A named skip, for automake."""
    print(f"SKIP: {reason}")
    sys.exit(77)


def run_tests(names):
    """Call each function test_* of a module's globals; print one line for each."""
    failed = 0
    only = sys.argv[1:]
    print(f"     (sandbox = {SANDBOX}, Landlock {landlock()})", flush=True)
    for name, function in list(names.items()):
        if not name.startswith("test_") or (only and name not in only):
            continue
        begin = time.monotonic()
        try:
            reports.clear()
            function()
            if reports:
                raise Failure("a sanitizer reports\n" + "\n".join(reports))
        except Exception as error:    # a test fails by any of them
            failed += 1
            if not isinstance(error, Failure):
                traceback.print_exc(file=sys.stdout)
            print(f"FAIL {name} ({time.monotonic() - begin:.1f} s): {error}", flush=True)
        else:
            print(f"ok   {name} ({time.monotonic() - begin:.1f} s)", flush=True)
    sys.exit(1 if failed else 0)

# SPDX-License-Identifier: BSD-2-Clause
"""Start the real programs, talk to them, and wait for what they say.

All waiting is for an event (a line, a file descriptor, an exit) with a deadline;
nothing here waits for time to pass.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(os.environ.get("top_srcdir", pathlib.Path(__file__).parents[2])).resolve()
BUILD = pathlib.Path(os.environ.get("top_builddir", TOP / "build")).resolve()

# Deadlines are for failures only; slow machines and sanitizers get ten times as long.
PATIENCE = float(os.environ.get("POSTHOUSE_TEST_PATIENCE", "60"))


class Failure(Exception):
    """What was expected did not happen."""


class Process:
    """A child whose lines of output are kept and can be waited for."""

    def __init__(self, argv, name, env=None, merge=False, cwd=None, stdin=subprocess.PIPE):
        self.name = name
        self.lines = []
        self.changed = threading.Condition()
        self.open_streams = 0
        self.child = subprocess.Popen(
            [str(a) for a in argv], stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else None, env=env, cwd=cwd,
            start_new_session=True)
        self._follow(self.child.stdout)

    def _follow(self, stream):
        self.open_streams += 1

        def run():
            for raw in stream:
                line = raw.decode("utf-8", "replace").rstrip("\n")
                with self.changed:
                    self.lines.append(line)
                    self.changed.notify_all()
            with self.changed:
                self.open_streams -= 1
                self.changed.notify_all()

        threading.Thread(target=run, daemon=True).start()

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
        try:
            return self.child.wait(timeout or PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: does not end; it said last:\n"
                          + "\n".join(self.lines[-40:])) from None

    def kill(self):
        """The whole group, so that no role is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        if self.child.stdin:
            with contextlib.suppress(OSError):
                self.child.stdin.close()


class Received:
    """One message as the sink stored it."""

    def __init__(self, path):
        head, _, self.body = path.read_bytes().partition(b"\n\n")
        self.name = path.name
        self.to = []
        fields = {}
        for line in head.decode("utf-8", "surrogateescape").split("\n"):
            key, _, value = line.partition(": ")
            if key == "to":
                self.to.append(value)
            fields[key] = value
        self.port = fields["port"]
        self.session = fields["session"]
        self.tls = fields["tls"]
        self.user = fields["user"]
        self.sender = fields["from"]
        self.parameters = fields["parameters"]
        self.acknowledged = fields["acknowledged"] == "yes"

    def header(self, name):
        """First header field of that name, unfolded, or None."""
        head = self.body.partition(b"\r\n\r\n")[0]
        m = re.search(rb"(?im)^" + re.escape(name.encode()) + rb":[ \t]*(.*(?:\r\n[ \t].*)*)", head)
        return re.sub(r"\r\n[ \t]+", " ", m.group(1).decode("utf-8", "replace")).strip() \
            if m else None

    def text(self):
        return self.body.partition(b"\r\n\r\n")[2]


class Sink(Process):
    """posthouse-sink with its three ports."""

    USER = "web1"
    PASSWORD = "correct-horse-battery"

    def __init__(self, folder, certs, extra=(), binary=None):
        self.dir = pathlib.Path(folder)
        super().__init__(
            [binary or BUILD / "tests/sink/posthouse-sink", "--certs", certs, "--dir", self.dir,
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


@contextlib.contextmanager
def workplace(name):
    """A fresh directory; it is kept when the test fails, and the test says where."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"posthouse-{name}-"))
    path.chmod(0o755)
    try:
        yield path
    except BaseException:
        print(f"kept for inspection: {path}")
        raise
    shutil.rmtree(path)


def make_certs(folder):
    subprocess.run([TOP / "tests/sink/make-certs.sh", folder], check=True)
    return pathlib.Path(folder)


def skip(reason):
    """A named skip, for automake."""
    print(f"SKIP: {reason}")
    sys.exit(77)


def run_tests(names):
    """Call each function test_* of a module's globals; print one line for each."""
    failed = 0
    only = sys.argv[1:]
    for name, function in list(names.items()):
        if not name.startswith("test_") or (only and name not in only):
            continue
        begin = time.monotonic()
        try:
            function()
        except Exception as error:    # a test fails by any of them
            failed += 1
            if not isinstance(error, Failure):
                import traceback
                traceback.print_exc(file=sys.stdout)
            print(f"FAIL {name} ({time.monotonic() - begin:.1f} s): {error}", flush=True)
        else:
            print(f"ok   {name} ({time.monotonic() - begin:.1f} s)", flush=True)
    sys.exit(1 if failed else 0)

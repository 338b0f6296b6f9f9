# SPDX-License-Identifier: BSD-2-Clause
"""The supervisor of the real daemon: check, start, stop, reload, restart, systemd's protocol."""

import contextlib
import fcntl
import os
import pathlib
import pwd
import re
import select
import signal
import smtplib
import socket
import stat
import subprocess
import threading

import lib
from lib import Failure

ROOT = os.getuid() == 0


def expect(condition, what):
    if not condition:
        raise Failure(what)


class Notify:
    """What a service tells systemd."""

    def __init__(self, path):
        self.path = path
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o666)
        self.socket.settimeout(lib.PATIENCE)
        self.got = []

    def receive(self):
        got = self.socket.recv(4096).decode().split("\n")
        self.got.append(got)
        return got

    def wait(self, line):
        try:
            while line not in self.receive():
                pass
        except TimeoutError:
            raise Failure(f"systemd was not told {line!r} but {self.got}") from None

    def pending(self):
        """Everything that came up to now."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.receive()
        self.socket.settimeout(lib.PATIENCE)
        return [line for message in self.got for line in message]


class Posthoused:
    """With a smarthost that refuses connections: nothing here is about delivery."""

    def __init__(self, place, as_root=False, env=None, wrapper=(), relay=None, **options):
        self.place = pathlib.Path(place)
        self.place.chmod(0o755)
        self.as_root = as_root
        self.env = env or {}
        self.wrapper = list(wrapper)
        self.port = lib.HeldPort()
        self.binary = self.place / "posthoused"
        lib.copy_program("posthoused", self.place)
        self.settings = {
            "hostname": "client.example.com", "admin": "admin@example.com",
            "listen": [f"127.0.0.1:{self.port.number}"],
            "state_dir": str(self.place / "state"), "runtime_dir": str(self.place / "run"),
            "sandbox": lib.SANDBOX, "drain": "5s", "queue": {"free_min": "0"},
            **options,
            "relays": [{"host": "127.0.0.1", "endpoints": [{"port": 1, "tls": "starttls"}],
                        **(relay or {})}],
        }
        self.config = self.place / "posthouse.conf"
        self.write_config()
        if ROOT and not as_root:
            os.chown(self.place, lib.ORDINARY, lib.ORDINARY)
        self.process = None
        self.notify = None

    def write_config(self):
        text = "".join(f"{k} = {lib.config_text(v)};\n" for k, v in self.settings.items())
        self.config.write_text(text)

    def who(self):
        return {"user": lib.ORDINARY, "group": lib.ORDINARY, "extra_groups": []} \
            if ROOT and not self.as_root else {}

    def run(self, *words, **how):
        """A run that ends by itself."""
        return subprocess.run([self.binary, "-c", self.config, *words], capture_output=True,
                              text=True, timeout=lib.PATIENCE, **self.who(), **how)

    def start(self, ready=True, **how):
        self.notify = Notify(self.place / "notify")
        env = {**os.environ, "NOTIFY_SOCKET": str(self.notify.path), **self.env}
        self.process = lib.Process([*self.wrapper, self.binary, "-c", self.config], "posthoused",
                                   env=env, merge=True, cwd=self.place, stdin=subprocess.DEVNULL,
                                   **self.who(), **how)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self):
        self.process.wait_line(">ready ")    # it ends, or says what is wrong, before the deadline
        self.notify.wait("READY=1")

    def signal(self, number):
        self.process.child.send_signal(number)

    def stop(self):
        self.signal(signal.SIGTERM)
        status = self.process.wait_exit()
        expect(status == 0, f"exit status {status}:\n{self.process.text()}")

    def reload(self):
        mark = self.process.mark()
        self.signal(signal.SIGHUP)
        self.process.wait_line(r"reloaded ", mark)

    def role(self, name):
        """Process id by what the daemon said last."""
        found = re.findall(rf"role-ready role={name} pid=(\d+)", self.process.text())
        expect(found, f"{name} was never ready")
        return int(found[-1])

    def client(self, port=None):
        return smtplib.SMTP("127.0.0.1", port or self.port.number, timeout=lib.PATIENCE,
                            local_hostname="local.example.com")

    def submit(self, port=None):
        with self.client(port) as c:
            c.sendmail("a@example.com", ["b@example.net"], b"Subject: x\r\n\r\nhello\r\n")


@contextlib.contextmanager
def posthoused(name, **how):
    with lib.workplace(name) as place:
        p = Posthoused(place, **how)
        try:
            yield p
        finally:
            if p.process is not None:
                p.process.kill()


# --- without running --------------------------------------------------------------


def test_check():
    with posthoused("check") as p:
        got = p.run("-t")
        expect(got.returncode == 0, got.stderr)
        p.settings.update(drain="soon", lisen=[])
        p.write_config()
        got = p.run("-t")
        expect(got.returncode == 78, f"status {got.returncode}")
        expect('unknown option "lisen"; did you mean "listen"?' in got.stderr, got.stderr)
        expect('drain: "soon" does not fit' in got.stderr, got.stderr)
        got = p.run()
        expect(got.returncode == 78, f"it starts with a bad configuration: {got.returncode}")
        expect(not (p.place / "state").exists(), "a bad configuration left directories")
        p.config.unlink()
        got = p.run("-t")
        expect(got.returncode == 78 and "can't open" in got.stderr, got.stderr)


def test_check_password_file():
    with posthoused("check-password") as p:
        secret = p.place / "password"
        p.settings["relays"][0].update(user="u", password_file=str(secret))
        p.write_config()
        line = 1 + p.config.read_text().split("\n").index(f'  password_file = "{secret}";')
        got = p.run("-t")
        expect(got.returncode == 78 and got.stderr.startswith(f"{p.config}:{line}: "), got.stderr)
        secret.write_text("\n")
        secret.chmod(0o600)
        if ROOT:
            os.chown(secret, lib.ORDINARY, lib.ORDINARY)
        got = p.run("-t")
        expect(got.returncode == 78 and f"{p.config}:{line}: the password is empty" in got.stderr,
               got.stderr)
        secret.write_text("geheim\n")
        if ROOT:
            os.chown(secret, lib.ORDINARY, lib.ORDINARY)
        for mode in (0o644, 0o604, 0o602, 0o601):
            secret.chmod(mode)
            got = p.run("-t")
            expect(got.returncode == 78 and "is open to every user" in got.stderr, f"{mode:o}")
            got = p.run()
            expect(got.returncode == 1 and "is open to every user" in got.stderr, f"{mode:o}")
        secret.chmod(0o640)
        expect(p.run("-t").returncode == 0, "0640 is refused")


def test_check_password_file_as_root():
    if not ROOT:
        return print("     (not root: test_check_password_file_as_root is skipped)")
    nobody = pwd.getpwnam("nobody")
    with posthoused("check-owner", as_root=True, user="nobody", intake_user="daemon") as p:
        secret = p.place / "password"
        p.settings["relays"][0].update(user="u", password_file=str(secret))
        p.write_config()
        secret.write_text("geheim\n")
        for uid, gid, mode, fine in ((0, 0, 0o600, False), (0, 0, 0o640, False),
                                     (0, nobody.pw_gid, 0o640, True),
                                     (nobody.pw_uid, 0, 0o600, True),
                                     (nobody.pw_uid, 0, 0o240, False)):
            os.chown(secret, uid, gid)
            secret.chmod(mode)
            got = p.run("-t")
            expect((got.returncode == 0) == fine, f"{uid} {gid} {mode:o}: {got}")
            expect(fine or 'has to read it: "chown nobody"' in got.stderr, got.stderr)


def configured():
    """Rows that configure showed at its end, made again from what make knows."""
    make = (lib.BUILD / "Makefile").read_text()
    rows = (("compiler", "CC"), ("CFLAGS", "CFLAGS"), ("prefix", "prefix"), ("user", "DEFAULT_USER"))
    return [f"  {name:<16}" + re.search(rf"^{variable} = ?(.*)$", make, re.M).group(1)
            for name, variable in rows]


def test_dump_and_version():
    with posthoused("dump") as p:
        got = p.run("--dump")
        expect(got.returncode == 0, got.stderr)
        expect('hostname = "client.example.com";\t# ' + str(p.config) + ":1" in got.stdout, got.stdout)
        expect('\tmessage_size = "25M";\t# default' in got.stdout, got.stdout)
        p.config.write_text(got.stdout)
        expect(p.run("-t").returncode == 0, "what --dump prints does not load")
        got = subprocess.run([p.binary, "--version"], capture_output=True, text=True)
        expect(re.match(r"posthoused \d", got.stdout), got.stdout)
        for row in configured():
            expect(row in got.stdout.split("\n"), f"{row!r} is missing in {got.stdout}")
        for words in (["--nonsense"], ["extra"]):
            got = subprocess.run([p.binary, *words], capture_output=True, text=True)
            expect(got.returncode == 64 and "usage:" in got.stderr, f"{words}: {got}")


# --- start and stop ---------------------------------------------------------------


def test_start_and_stop():
    relay = {"user": "u", "password_env": "SMTP_PASSWORD"}
    with posthoused("start", env={"SMTP_PASSWORD": "geheim-4711"}, relay=relay) as p:
        p.start()
        p.submit()
        modes = {n.name: stat.S_IMODE(n.stat().st_mode) for n in (p.place / "run").iterdir()}
        expect(modes == {"smtp.sock": 0o666, "control.sock": 0o600, "status.sock": 0o666,
                         "posthoused.lock": 0o600}, f"{modes}")
        for name, mode in (("state", 0o700), ("state/spool", 0o700),
                           ("state/history", 0o750), ("run", 0o755)):
            got = stat.S_IMODE((p.place / name).stat().st_mode)
            expect(got == mode, f"{name}: {got:o}")
        for role in ("intake", "relay"):
            proc = pathlib.Path(f"/proc/{p.role(role)}")
            if ROOT:    # roles are not dumpable: only root may look
                env = proc.joinpath("environ").read_bytes()
                expect(env in (b"PATH=/usr/sbin:/usr/bin:/sbin:/bin\0",) or b"SAN_OPTIONS" in env,
                       f"{role} has the environment {env}")
                expect(b"geheim" not in env, "the password is in the environment of a role")
            line = proc.joinpath("cmdline").read_bytes()
            expect(line == f"posthoused: {role}\0".encode(), f"{line}")
            expect("NoNewPrivs:\t1" in proc.joinpath("status").read_text(), "no_new_privs")
        p.stop()
        said = p.notify.pending()
        expect("STOPPING=1" in said, f"systemd was told {said}")
        left = [n.name for n in (p.place / "run").iterdir()]
        expect(left == ["posthoused.lock"], f"left behind: {left}")
        text = p.process.text()
        expect("geheim" not in text, "the password is in the log")
        order = [text.index(f"role-ended role={r}") for r in ("intake", "relay")]
        expect(order == sorted(order), "relay was stopped before intake")


def test_drain_lets_a_message_finish():
    with posthoused("drain") as p:
        p.start()
        c = lib.begin_message(p.client())
        mark = p.process.mark()
        p.signal(signal.SIGTERM)
        p.process.wait_line("stopping", mark)
        c.send(b"Subject: late\r\n\r\nlate\r\n.\r\n")
        code, text = c.getreply()
        expect(code == 250, f"{code} {text}")
        expect(p.process.wait_exit() == 0, p.process.text())


def test_second_signal_ends_at_once():
    with posthoused("twice", drain="10m") as p:
        p.start()
        c = lib.begin_message(p.client())
        mark = p.process.mark()
        p.signal(signal.SIGINT)
        p.process.wait_line("stopping", mark)
        p.signal(signal.SIGINT)
        p.process.wait_exit()
        expect("role-killed" in p.process.text(mark), p.process.text(mark))


def test_drain_is_bounded():
    with posthoused("bounded", drain="1s") as p:
        p.start()
        intake = p.role("intake")
        os.kill(intake, signal.SIGSTOP)     # it will not drain
        p.signal(signal.SIGTERM)
        expect(p.process.wait_exit() == 0, p.process.text())
        expect("role-killed reason=\"intake did not finish in time\"" in p.process.text(),
               p.process.text())


def test_second_daemon():
    with posthoused("second") as p:
        p.start()
        got = p.run()
        expect(got.returncode == 1, f"status {got.returncode}")
        want = f"another posthoused (pid {p.process.child.pid}) runs with state_dir"
        expect(want in got.stderr, got.stderr)
        # Another spool, the same sockets.
        text = p.config.read_text()
        p.settings.update(state_dir=str(p.place / "state2"), listen=[])
        p.write_config()
        got = p.run()
        expect(got.returncode == 1 and "runs with runtime_dir" in got.stderr, got.stderr)
        p.config.write_text(text)
        p.submit()
        p.process.kill()        # SIGKILL leaves everything behind
        p.settings.update(state_dir=str(p.place / "state"),
                          listen=[f"127.0.0.1:{p.port.number}"])
        p.write_config()
        p.start()
        p.submit()
        p.stop()


def test_spool_of_somebody_else():
    """Who could write there before us would read all mail."""
    with posthoused("foreign") as p:
        spool = p.place / "state" / "spool"
        spool.mkdir(parents=True)
        ours = lib.ORDINARY if ROOT else os.getuid()
        for uid, mode, fine in ((ours, 0o777, False), (ours, 0o720, False), (0, 0o755, False),
                                (ours, 0o750, True)):
            if uid != ours and not ROOT:
                continue
            if ROOT:
                os.chown(spool.parent, ours, ours)
                os.chown(spool, uid, uid)
            spool.chmod(mode)
            if fine:
                p.start()
                return p.stop()
            got = p.run()
            expect(got.returncode == 1 and f"{spool} has to belong to" in got.stderr, got)


def test_port_in_use():
    with posthoused("in-use") as p:
        holder = socket.socket()
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        p.settings["listen"] = [f"127.0.0.1:{holder.getsockname()[1]}"]
        p.write_config()
        got = p.run()
        expect(got.returncode == 1, f"status {got.returncode}")
        expect("is in use" in got.stderr and "set listen to another port" in got.stderr, got.stderr)
    if ROOT:    # who may look at the sockets of all can name the program
        with posthoused("in-use-root", as_root=True, user="nobody", intake_user="daemon") as p:
            p.settings["listen"] = [f"127.0.0.1:{holder.getsockname()[1]}"]
            p.write_config()
            got = p.run()
            expect(f", pid {os.getpid()})" in got.stderr, got.stderr)


def test_missing_family():
    """A host without IPv6 is served on IPv4, with a warning."""
    if not ROOT:
        return print("     (not root: test_missing_family is skipped)")
    with posthoused("family", as_root=True, user="nobody", intake_user="daemon") as p:
        p.settings["listen"] = ["127.0.0.1:2525", "[::1]:2525"]
        p.write_config()
        p.wrapper = ["unshare", "--net", "sh", "-c",
                     "ip link set lo up && sysctl -qw net.ipv6.conf.all.disable_ipv6=1 && "
                     'exec "$0" "$@"']
        p.start()
        text = p.process.text()
        expect('not-listening reason="[::1]:2525' in text, text)
        expect('listening reason="127.0.0.1:2525"' in text, text)
        p.stop()


# --- reload -----------------------------------------------------------------------


def test_reload():
    with posthoused("reload", limits={"message_size": "1M"}) as p:
        p.start()
        with p.client() as c:
            c.ehlo()
            expect(c.esmtp_features["size"] == str(1 << 20), f"{c.esmtp_features}")
        before = {r: p.role(r) for r in ("intake", "relay")}
        refused = []
        done = threading.Event()
        greeted = threading.Semaphore(0)

        def knock():
            while not done.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", p.port.number), lib.PATIENCE) as s:
                        s.recv(100)
                        greeted.release()
                except ConnectionRefusedError as error:
                    refused.append(error)
                except OSError:
                    pass            # cut while it was being drained: the client tries again

        knocker = threading.Thread(target=knock)
        knocker.start()
        for _ in range(10):
            greeted.acquire(timeout=lib.PATIENCE)
        p.settings["limits"] = {"message_size": "2M"}
        p.write_config()
        p.reload()
        for _ in range(10):
            greeted.acquire(timeout=lib.PATIENCE)
        done.set()
        knocker.join()
        expect(not refused, f"{len(refused)} connections were refused")
        with p.client() as c:
            c.ehlo()
            expect(c.esmtp_features["size"] == str(2 << 20), f"{c.esmtp_features}")
        p.submit()
        after = {r: p.role(r) for r in ("intake", "relay")}
        expect(all(before[r] != after[r] for r in before), f"not replaced: {before} {after}")
        text = p.process.text()
        end = text.index(f"role-ended role=relay pid={before['relay']}")
        expect(end < text.index(f"role-ready role=relay pid={after['relay']}"), "two relays")
        p.stop()
        said = p.notify.pending()
        at = said.index("RELOADING=1")
        expect(said[at + 1].startswith("MONOTONIC_USEC="), f"{said}")
        expect("READY=1" in said[at:], f"systemd was told {said}")


def test_reload_of_a_bad_file():
    with posthoused("reload-bad") as p:
        p.start()
        before = {r: p.role(r) for r in ("intake", "relay")}
        good = p.config.read_text()
        for bad, why in ((good + "a = 1;\nb = 2;\n", "can't be used"),
                         (good.replace("/state", "/elsewhere"), "state_dir takes effect at a restart"),
                         ("syntax", "can't be used")):
            p.config.write_text(bad)
            mark = p.process.mark()
            p.signal(signal.SIGHUP)
            line = p.process.wait_line("reload-refused", mark)
            expect(why in line, line)
            if "a = 1" in bad:
                text = p.process.text(mark)
                expect("unknown option \\\"a\\\"" in text and "unknown option \\\"b\\\"" in text, text)
        p.submit()
        expect(before == {r: p.role(r) for r in before}, "a role was replaced")
        p.config.write_text(good)
        p.reload()
        p.stop()


def test_reload_changes_listen():
    with posthoused("reload-listen") as p:
        p.start()
        more = lib.HeldPort()
        p.settings["listen"].append(f"127.0.0.1:{more.number}")
        p.write_config()
        p.reload()
        p.submit()
        p.submit(more.number)
        p.settings["listen"] = [f"127.0.0.1:{more.number}"]
        p.settings["socket"] = ""
        p.write_config()
        p.reload()
        p.submit(more.number)
        with contextlib.suppress(ConnectionRefusedError):
            p.client()
            raise Failure("the port that was removed is still served")
        expect(not (p.place / "run/smtp.sock").exists(), "smtp.sock is still there")
        taken = socket.socket()
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        p.settings["listen"].append(f"127.0.0.1:{taken.getsockname()[1]}")
        p.write_config()
        mark = p.process.mark()
        p.reload()
        p.process.wait_line("not-listening.*is in use", mark)
        p.submit(more.number)
        p.stop()


def test_new_password_at_reload():
    with posthoused("reload-password") as p:
        secret = p.place / "password"
        secret.write_text("one\n")
        if ROOT:
            os.chown(secret, lib.ORDINARY, lib.ORDINARY)
        secret.chmod(0o600)
        p.settings["relays"][0].update(user="u", password_file=str(secret))
        p.write_config()
        p.start()
        secret.write_text("two\nlines\n")
        mark = p.process.mark()
        p.signal(signal.SIGHUP)
        line = p.process.wait_line("reload-refused", mark)
        expect("more than one line" in line and "two" not in line, line)
        secret.write_text("three\n")
        p.reload()
        p.stop()


# --- roles that die ---------------------------------------------------------------


def test_dead_role_comes_back():
    with posthoused("killed") as p:
        p.start()
        p.submit()
        for victim, other in (("intake", "relay"), ("relay", "intake")):
            lives, dies = p.role(other), p.role(victim)
            mark = p.process.mark()
            os.kill(dies, signal.SIGKILL)
            p.process.wait_line(f"role-ended role={victim} pid={dies} signal=9.*asked=no", mark)
            p.process.wait_line(f"role-ready role={victim}", mark)
            p.process.wait_line("relay-connected", mark)
            p.submit()
            expect(p.role(other) == lives, f"{other} did not live on")
        p.stop()


def test_back_off():
    with posthoused("back-off") as p:
        p.start()
        waits = []
        for _ in range(4):
            mark = p.process.mark()
            os.kill(p.role("intake"), signal.SIGKILL)
            line = p.process.wait_line("role-restart", mark)
            waits.append(re.search(r"again in (\w+)", line).group(1))
            p.process.wait_line("role-ready role=intake", mark)
        expect(waits == ["100ms", "200ms", "400ms", "800ms"], f"{waits}")
        p.submit()
        p.stop()


def test_roles_end_with_the_supervisor():
    with posthoused("orphans") as p:
        p.start()
        p.submit()
        watched = [os.pidfd_open(p.role(r)) for r in ("intake", "relay")]
        p.process.child.kill()
        for fd in watched:      # readable when the process has ended
            expect(select.select([fd], [], [], lib.PATIENCE)[0], "a role lives on")
        p.process.wait_exit()   # all that they said is read by then
        expect(p.process.text().count("supervisor-lost") == 2, p.process.text())


# --- systemd ----------------------------------------------------------------------


def activated(p, *sockets, name="smtp"):
    """Start p with these as descriptors 3 and up, as systemd would."""
    numbers = [s.fileno() for s in sockets]
    moves = " ".join(f"{3 + i}<&{number}" for i, number in enumerate(numbers))
    p.env.update(LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=":".join(name for _ in sockets))
    # bash, since dash knows descriptors of one digit only
    p.wrapper = ["bash", "-c", f'export LISTEN_PID=$$; exec "$0" "$@" {moves}']
    return {"pass_fds": numbers}


def passable(family, address):
    """Listening, with a descriptor above those that it is moved to."""
    s = socket.socket(family)
    s.bind(address)
    s.listen()
    high = fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 30)
    s.close()
    return socket.socket(fileno=high)


def test_sockets_from_systemd():
    with posthoused("activation") as p:
        tcp = passable(socket.AF_INET, ("127.0.0.1", 0))
        path = p.place / "passed.sock"
        un = passable(socket.AF_UNIX, str(path))
        path.chmod(0o666)
        how = activated(p, tcp, un)
        p.start(**how)
        number = tcp.getsockname()[1]
        p.submit(number)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(lib.PATIENCE)
            s.connect(str(path))
            expect(s.recv(3) == b"220", "the unix socket is not served")
        with contextlib.suppress(ConnectionRefusedError):
            p.client()
            raise Failure("listen is served beside the sockets of systemd")
        expect(not (p.place / "run/smtp.sock").exists(), "an own unix socket beside systemd's")
        p.reload()
        p.submit(number)
        p.stop()
        expect(path.exists(), "the socket of systemd was removed")


def test_open_socket_from_systemd_is_refused():
    with posthoused("open-relay") as p:
        tcp = passable(socket.AF_INET, ("0.0.0.0", 0))
        p.start(ready=False, **activated(p, tcp))
        expect(p.process.wait_exit() == 1, "it serves the world")
        expect("only this host is served" in p.process.text(), p.process.text())


def test_open_socket_from_systemd_with_a_listener():
    """Beside the others; and a reload without the listener leaves it to this host alone."""
    with posthoused("passed-listener") as p:
        wide = passable(socket.AF_INET, ("0.0.0.0", 0))
        near = passable(socket.AF_INET, ("127.0.0.1", 0))
        p.settings["listeners"] = [{"address": f"0.0.0.0:{wide.getsockname()[1]}", "networks": ["127.0.0.2"]}]
        p.write_config()
        p.start(**activated(p, wide, near))
        p.submit(near.getsockname()[1])

        def greeting(source):
            with socket.create_connection(("127.0.0.1", wide.getsockname()[1]), lib.PATIENCE, (source, 0)) as s:
                return s.recv(3)

        expect(greeting("127.0.0.1") == b"554", "the list does not hold")
        expect(greeting("127.0.0.2") == b"220", "who is in the list is not served")
        del p.settings["listeners"]
        p.write_config()
        p.reload()
        expect(greeting("127.0.0.1") == b"220", "the socket is lost")
        p.stop()


def test_names_of_sockets_from_systemd():
    """What is meant for another purpose is not served as SMTP."""
    for name, fine in (("posthouse.socket", True), ("", True), ("control", False), ("x" * 200, False)):
        with posthoused("names") as p:
            tcp = passable(socket.AF_INET, ("127.0.0.1", 0))
            how = activated(p, tcp, name=name)
            if fine:
                p.start(**how)
                p.submit(tcp.getsockname()[1])
                p.stop()
                continue
            p.start(ready=False, **how)
            expect(p.process.wait_exit() == 1, f"a socket called {name} is served")
            expect("only smtp is known here" in p.process.text(), p.process.text())


def test_watchdog():
    with posthoused("watchdog", env={"WATCHDOG_USEC": "2400000"}) as p:
        p.start()
        p.notify.wait("WATCHDOG=1")
        p.notify.pending()
        before = p.role("intake")
        mark = p.process.mark()
        os.kill(before, signal.SIGSTOP)
        p.process.wait_line("role-hangs", mark)
        p.notify.got.clear()
        fed = p.notify.pending().count("WATCHDOG=1")
        # 12 pings go unanswered; the watchdog is fed only over the first of them.
        expect(fed <= 6, f"the watchdog was fed {fed} times while a role hung")
        p.process.wait_line("role-ready role=intake", mark)
        p.notify.wait("WATCHDOG=1")
        p.submit()
        p.stop()


def test_status_text():
    with posthoused("status") as p:
        p.start()
        status = [line for line in p.notify.pending() if line.startswith("STATUS=")]
        expect(any(s.startswith("STATUS=intake ") for s in status), f"{status}")
        p.stop()
        said = p.notify.pending()
        expect(any(s.startswith("STATUS=stopping") for s in said), f"{said}")


# --- as root ----------------------------------------------------------------------


def ids(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {word: re.search(rf"^{word}:[ \t]*(.*)$", status, re.M).group(1)
            for word in ("Uid", "Gid", "Groups", "CapPrm", "CapEff")}


def test_root_is_given_up():
    if not ROOT:
        return print("     (not root: test_root_is_given_up is skipped)")
    with posthoused("root", as_root=True, user="nobody", intake_user="daemon") as p:
        p.start()
        p.submit()
        nobody, daemon = 65534, 1
        for pid, uid in ((p.process.child.pid, nobody), (p.role("relay"), nobody),
                         (p.role("intake"), daemon)):
            got = ids(pid)
            expect(got["Uid"].split() == [str(uid)] * 4, f"{pid}: {got}")
            expect("0" not in got["Gid"].split() and got["Groups"].strip() == "", f"{pid}: {got}")
            expect(int(got["CapPrm"], 16) == 0 and int(got["CapEff"], 16) == 0, f"{pid}: {got}")
        expect((p.place / "state").stat().st_uid == nobody, "state_dir belongs to another")
        before = p.role("intake")
        mark = p.process.mark()
        os.kill(before, signal.SIGKILL)
        p.process.wait_line(f"role-ended role=intake pid={before} signal=9", mark)
        p.process.wait_line("role-ready role=intake", mark)
        expect(ids(p.role("intake"))["Uid"].split()[0] == str(daemon), "intake came back as another")
        p.reload()
        p.submit()
        spawner = ids_parent(p.role("intake"))
        expect(spawner != p.process.child.pid, "intake was not started by the spawner")
        os.kill(spawner, signal.SIGKILL)
        expect(p.process.wait_exit() == 1, p.process.text())
        expect("spawner-lost" in p.process.text(), p.process.text())
        expect("role-killed" not in p.process.text(), "the end of intake was not noticed")


def ids_parent(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^PPid:\s+(\d+)$", status, re.M).group(1))


def test_root_needs_users():
    if not ROOT:
        return print("     (not root: test_root_needs_users is skipped)")
    for user, intake, why in (("no-such-user", "daemon", "there is no user \\\"no-such-user\\\""),
                              ("root", "daemon", "must not be root"),
                              ("nobody", "no-such-user", "there is no user")):
        with posthoused("root-users", as_root=True, user=user, intake_user=intake) as p:
            got = p.run()
            expect(got.returncode == 1 and why in got.stderr, got.stderr)


if __name__ == "__main__":
    lib.run_tests(globals())

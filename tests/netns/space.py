# SPDX-License-Identifier: BSD-2-Clause
"""A host, a router and a provider: three network namespaces that nobody else sees.

A namespace has no name: it lives as long as a cat(1) that we hold by its standard
input, so nothing is left of it when the test is killed. The router forwards between
the host and the provider, and does to their packets what a fault says.
"""

import contextlib
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
import lib  # noqa: E402

SMARTHOST = "smtp.provider.test"
HOST = "10.1.0.2"
PROVIDER, PROVIDER6 = "10.2.0.2", "2001:db8:2::2"
BACKUP, BACKUP_ADDRESS = "smtp.backup.test", "10.2.0.3"     # another provider, behind the same router
NUMBERS = {"587": 587, "465": 465, "2525": 2525}
BACKUP_BASE = 20000     # the backup's server listens there + port


KERNEL_LACKS = re.compile(r"not supported|No such file or directory|Unknown device type")


class CantDo(Exception):
    """The kernel lacks something; the text says what."""


def need():
    """Why the tests can't run here, or None."""
    if os.getuid() != 0:
        return "needs root, for network namespaces"
    for program in ("ip", "nft", "nsenter", "unshare", "setpriv"):
        if not shutil.which(program):
            return f"{program} is not installed"
    try:
        Namespace().close()
    except CantDo as error:
        return str(error)
    return None


class Namespace:
    """A network of its own, and mounts of its own for the files in /etc that name hosts."""

    def __init__(self):
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True)
        with contextlib.suppress(BrokenPipeError):
            self.holder.stdin.write(b"\n")
            self.holder.stdin.flush()
        if self.holder.stdout.readline() != b"\n":      # cat runs, so it is inside
            raise CantDo("no namespaces: " + self.holder.communicate()[1].decode().strip())

    def enter(self, *argv):
        return ["nsenter", f"--target={self.holder.pid}", "--net", "--mount", "--", *map(str, argv)]

    def run(self, *argv, text="", check=True):
        p = subprocess.run(self.enter(*argv), input=text, text=True, capture_output=True,
                           timeout=lib.PATIENCE)
        if check and p.returncode != 0:
            # A mistake of ours must not pass for a kernel without the feature.
            kind = CantDo if KERNEL_LACKS.search(p.stderr) else lib.Failure
            raise kind(f"{' '.join(map(str, argv))}: {p.stderr.strip()}\n{text}")
        return p

    def ip(self, text):
        self.run("ip", "-batch", "-", text=text)

    def rules(self, forward=(), divert=(), output=()):
        """The whole rule set, replaced at one stroke."""
        def chain(name, kind, hook, rules):
            if not rules:
                return ""
            lines = "".join(f"    {r}\n" for r in rules)
            return f"  chain {name} {{\n    type {kind} hook {hook};\n{lines}  }}\n"

        self.run("nft", "-f", "-", text="flush ruleset\ntable inet path {\n"
                        + chain("forward", "filter", "forward priority 0", forward)
                        + chain("divert", "nat", "prerouting priority -100", divert)
                        + chain("output", "filter", "output priority 0", output) + "}\n")

    def close(self):
        self.holder.kill()
        self.holder.communicate()


SETTINGS = """
for f in /proc/sys/net/ipv6/conf/*/accept_dad; do [ ! -e "$f" ] || echo 0 >"$f"; done
ip link set lo up
"""
FORWARD = """
echo 1 >/proc/sys/net/ipv4/ip_forward
[ ! -e /proc/sys/net/ipv6/conf/all/forwarding ] || echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
"""

ROUTER = """\
link add near type veth peer name net0 netns {host}
link add far type veth peer name net0 netns {provider}
address add 10.1.0.1/24 dev near
address add 10.2.0.1/24 dev far
link set near up
link set far up
"""
ROUTER6 = """\
address add 2001:db8:1::1/64 dev near nodad
address add 2001:db8:2::1/64 dev far nodad
"""
END = """\
address add 10.{net}.0.2/24 dev net0
link set net0 up
route add default via 10.{net}.0.1
"""
END6 = """\
address add 2001:db8:{net}::2/64 dev net0 nodad
route add default via 2001:db8:{net}::1
"""


class Path:
    """The three namespaces, joined."""

    def __init__(self):
        self.spaces = []
        self.six = os.path.exists("/proc/sys/net/ipv6")
        self.ended = False
        try:
            self.host, self.router, self.provider = (self._add() for _ in range(3))
            self.router.run("sh", "-c", FORWARD)
            self.router.ip(ROUTER.format(host=self.host.holder.pid, provider=self.provider.holder.pid)
                           + (ROUTER6 if self.six else ""))
            for number, space in ((1, self.host), (2, self.provider)):
                space.ip((END + (END6 if self.six else "")).format(net=number))
            self.provider.ip(f"address add {BACKUP_ADDRESS}/24 dev net0\n")
        except BaseException:
            self.close()
            raise

    def _add(self):
        space = Namespace()
        self.spaces.append(space)
        space.run("sh", "-c", SETTINGS)
        return space

    def resolve(self, place, six=False):
        """In the host the smarthost's name has an address, and an IPv6 one too if wanted."""
        hosts = pathlib.Path(place) / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + (f"{PROVIDER6} {SMARTHOST}\n" if six else "")
                         + f"{PROVIDER} {SMARTHOST}\n{BACKUP_ADDRESS} {BACKUP}\n")
        hosts.chmod(0o644)
        self.host.run("mount", "--bind", hosts, "/etc/hosts")
        # A name server that says at once that it can't be asked, for who asks beside the file.
        servers = pathlib.Path(place) / "resolv.conf"
        servers.write_text("nameserver 127.0.0.1\n")
        servers.chmod(0o644)
        self.host.run("mount", "--bind", servers, "/etc/resolv.conf")

    def part_providers(self):
        """Each provider has a server of its own, on other numbers of the same machine."""
        self.provider.rules(divert=[f"ip daddr {BACKUP_ADDRESS} tcp dport {n} redirect to :{BACKUP_BASE + n}"
                                    for n in NUMBERS.values()])

    def rules(self, **chains):
        """The router's."""
        self.router.rules(**chains)

    def close(self):
        for space in self.spaces:
            space.close()


class Wire(lib.Process):
    """Watches the router's side of the host's link: wire.py tells of it."""

    def __init__(self, path, words=()):
        super().__init__(path.router.enter(sys.executable, "-B", HERE / "wire.py", "near",
                                           *(f"{p}" for p in NUMBERS.values()), "--", *words), "wire")
        self.wait_line("^ready$")

    def flush(self):
        """All packets that the link carried so far are counted."""
        start = self.mark()
        self.send("flush")
        line = self.wait_line("^flushed ", start)
        if line != "flushed dropped=0":
            raise lib.Failure(f"wire: {line}")

    def connections(self, port=None, family=None, since=0.0):
        """(time, port, family) of each attempt to connect to the provider, in order; time as time.time()."""
        self.flush()
        found = []
        for line in self.text().split("\n"):
            if line.startswith("syn "):
                _, number, fam, at, address = line.split()
                if address != BACKUP_ADDRESS:
                    found.append((float(at), number, fam))
        return sorted(c for c in found if (port is None or c[1] == port)
                      and (family is None or c[2] == family) and c[0] > since)

    def clear_bytes(self):
        self.flush()
        return sum(int(line.split()[1]) for line in self.text().split("\n")
                   if line.startswith("clear "))


def wait_for_file(path, process, seconds=20):
    """Until it exists: the program that makes it tells nobody."""
    waiter = select.poll()
    for _ in range(seconds * 50):
        if os.path.exists(path):
            return
        if process.poll() is not None:
            raise lib.Failure(f"{path}: its program ended with {process.returncode}")
        waiter.poll(20)
    raise lib.Failure(f"{path} does not appear within {seconds} s")


def end_group(process):
    """Of a child that leads its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

# SPDX-License-Identifier: BSD-2-Clause
"""The faults of a path, each made by the kernel's own means, and the proof that it can.

A fault is about some of the smarthost's ports. "probe" applies it to one port of a
path with nothing but an echo behind it, and sees with real packets that it does
what its name says. Only what the kernel refuses raises space.CantDo.
"""

import concurrent.futures
import contextlib
import sys
import time

import lib
import space

PROXY_BASE = 10000      # the router's proxies listen there + port
NARROW = 1300           # bytes of a packet on the narrow path


def to(ports):
    return "meta l4proto { tcp, udp } th dport { %s }" % ", ".join(str(p) for p in ports)


def back(ports):
    return to(ports).replace("dport", "sport")


class Fault:
    """How it is brought about, and what connecting looks like then."""

    sees = "timeout"        # what reach.py says of a port that has it

    def __init__(self, name, meaning):
        self.name = name
        self.meaning = meaning

    def apply(self, path, ports):
        """Returns a time.time() from which on it is there."""
        raise NotImplementedError

    def probe(self, path, port):
        self.apply(path, [port])
        seen = reach(path, "connect", space.PROVIDER, port)
        if seen != self.sees:
            raise lib.Failure(f"{self.name}: connecting gives {seen}, not {self.sees}")

    def stop(self):
        """Programs that it needed."""


def reach(path, *words):
    return path.host.run(sys.executable, "-B", space.HERE / "reach.py", *words).stdout.strip()


class Rule(Fault):
    """Rules of nftables in the router's forward chain."""

    def __init__(self, name, meaning, sees, rules):
        super().__init__(name, meaning)
        self.sees = sees
        self.lines = rules

    def apply(self, path, ports):
        path.rules(forward=self.lines(ports))
        return time.time()


class Loss(Rule):
    """Three packets of ten, in each direction."""

    def __init__(self):
        super().__init__("loss", "30 % of the packets are lost, in both directions", "", lambda p: [
            f"{way} numgen random mod 100 < 30 drop" for way in (to(p), back(p))])

    def probe(self, path, port):
        self.apply(path, [port])
        came = int(reach(path, "count", space.PROVIDER, port, 400))
        if not 100 <= came <= 292:      # 196 of 400 is the mean, 10 the deviation
            raise lib.Failure(f"{came} of 400 datagrams came back, not about 196")


class Mtu(Fault):
    """Big packets must not be fragmented, do not fit, and nobody is told (RFC 2923)."""

    def __init__(self):
        super().__init__("mtu", "an MTU black hole: big packets vanish, and no ICMP tells")

    def apply(self, path, ports):
        path.router.ip(f"route replace {space.PROVIDER} dev far mtu lock {NARROW} table 100\n"
                       f"route replace {space.HOST} dev near mtu lock {NARROW} table 101\n" + "".join(
                           f"rule add iif near ipproto tcp dport {p} lookup 100\n"
                           f"rule add iif far ipproto tcp sport {p} lookup 101\n" for p in ports))
        path.rules(output=["icmp type destination-unreachable icmp code frag-needed drop"])
        return time.time()

    def probe(self, path, port):
        self.apply(path, [port])
        seen = [reach(path, "connect", space.PROVIDER, port, n) for n in (100, 100000)]
        if seen != ["ok", "timeout"]:
            raise lib.Failure("100 and 100,000 bytes give %s and %s" % tuple(seen))


class Family(Fault):
    """The name has an IPv6 address, and the way there is dead."""

    def __init__(self):
        super().__init__("family", "IPv6 packets vanish, and the name has an IPv6 address")

    def apply(self, path, ports):
        path.rules(forward=["meta nfproto ipv6 drop"])
        return time.time()

    def probe(self, path, port):
        if not path.six:
            raise space.CantDo("this kernel has no IPv6")
        for address in (space.PROVIDER, space.PROVIDER6):
            if reach(path, "connect", address, port) != "ok":
                raise lib.Failure(f"{address} is not reached even without the fault")
        self.apply(path, [port])
        seen = [reach(path, "connect", a, port) for a in (space.PROVIDER, space.PROVIDER6)]
        if seen != ["ok", "timeout"]:
            raise lib.Failure("IPv4 and IPv6 give %s and %s" % tuple(seen))


class Away(Rule):
    """All ports of one provider, by its address; the other provider is not touched."""

    def __init__(self):
        super().__init__("away", "the first provider's host is away; a second one is configured", "timeout",
                         lambda p: [f"ip daddr {space.PROVIDER} drop", f"ip saddr {space.PROVIDER} drop"])

    def probe(self, path, port):
        super().probe(path, port)
        seen = reach(path, "connect", space.BACKUP_ADDRESS, port)
        if seen != "ok":
            raise lib.Failure(f"{self.name}: the other provider gives {seen}")


class Silent(Rule):
    """The same rules as drop, but a connection is in the middle of something."""

    def __init__(self):
        super().__init__("silent", "a connection goes silent in mid-session", "timeout",
                         lambda p: [f"{to(p)} drop", f"{back(p)} drop"])

    def probe(self, path, port):
        p = lib.Process(path.host.enter(sys.executable, "-B", space.HERE / "reach.py", "hold",
                                        space.PROVIDER, port), "reach")
        try:
            p.wait_line("^connected$")
            self.apply(path, [port])
            p.send("go on")
            seen = p.wait_line("^(?!connected)")
        finally:
            p.kill()
        if seen != "timeout":
            raise lib.Failure(f"the connection says {seen}, not timeout")


class Here(Fault):
    """By the host's own routing rules, before any packet leaves: connect(2) fails at once."""

    def __init__(self, name, meaning, sees, rule):
        super().__init__(name, meaning)
        self.sees = sees
        self.rule = rule

    def apply(self, path, ports):
        path.host.ip("".join(f"rule add ipproto tcp dport {p} {self.rule}\n" for p in ports))
        return time.time()


class OwnFirewall(Fault):
    """nftables on the host itself rejects what leaves it, by an ICMP message to itself."""

    sees = "EHOSTUNREACH"

    def __init__(self):
        super().__init__("own firewall", "the host's own firewall rejects the port")

    def apply(self, path, ports):
        path.host.rules(output=[f"{to(ports)} reject with icmpx admin-prohibited"])
        return time.time()


class Proxy(Fault):
    """A program on the router that connections are diverted to."""

    sees = "ok"

    def __init__(self, name, meaning, mode):
        super().__init__(name, meaning)
        self.mode = mode
        self.running = None

    def apply(self, path, ports):
        self.running = lib.Process(path.router.enter(
            sys.executable, "-B", space.HERE / "proxy.py", self.mode,
            *(f"{PROXY_BASE + p}:{p}" for p in ports)), "proxy")
        self.running.wait_line("^ready$")
        path.rules(divert=[f"ip daddr {space.PROVIDER} tcp dport {p} redirect to :{PROXY_BASE + p}" for p in ports])
        return time.time()

    def probe(self, path, port):
        """It is really the proxy that answers: what it is sent does not come back as it was."""
        self.apply(path, [port])
        seen = reach(path, "connect", space.PROVIDER, port)
        if self.mode == "silent" and seen != "timeout" or self.mode == "answers" and seen != "ok":
            raise lib.Failure(f"{self.name}: connecting gives {seen}")
        path.rules()
        direct = reach(path, "connect", space.PROVIDER, port)
        self.stop()
        path.rules(divert=[f"tcp dport {port} redirect to :{PROXY_BASE + port}"])
        seen = reach(path, "connect", space.PROVIDER, port)
        if (direct, seen) != ("ok", "ECONNREFUSED"):
            raise lib.Failure(f"without the rule {direct}; without the proxy {seen}")

    def stop(self):
        if self.running is not None:
            self.running.kill()
        self.running = None


def all_faults():
    """Fresh ones: some hold a process."""
    return {f.name: f for f in (
        Rule("drop", "packets vanish: the port is filtered", "timeout",
             lambda p: [f"{to(p)} drop", f"{back(p)} drop"]),
        Rule("reset", "connections are reset", "ECONNREFUSED",
             lambda p: [f"tcp dport {{ {', '.join(map(str, p))} }} reject with tcp reset"]),
        Rule("unreachable", "ICMP: host unreachable", "EHOSTUNREACH",
             lambda p: [f"{to(p)} reject with icmpx host-unreachable"]),
        Rule("prohibited", "ICMP: administratively prohibited", "EHOSTUNREACH",
             lambda p: [f"{to(p)} reject with icmpx admin-prohibited"]),
        Rule("one-way", "what the provider sends is lost", "timeout", lambda p: [f"{back(p)} drop"]),
        Loss(),
        Proxy("stripped", "a proxy removes STARTTLS and offers a login in clear", "missing"),
        Proxy("blanked", "a proxy overwrites the keyword STARTTLS", "blanked"),
        Proxy("answers", "a proxy answers in the provider's place on every port", "answers"),
        Proxy("intercepted", "a proxy decrypts, with a certificate of its own authority", "intercepts"),
        Proxy("mute", "a proxy accepts connections and says nothing", "silent"),
        Mtu(), Family(), Away(), Silent(),
        OwnFirewall(),
        Here("forbidden", "the host itself forbids the port (EACCES)", "EACCES", "prohibit"),
        Here("routeless", "the host has no route for the port", "ENETUNREACH", "unreachable"),
        Here("swallowed", "the host's routing swallows what goes to the port (EINVAL)", "EINVAL",
             "blackhole"))}


def try_out(name):
    """None if this kernel can make the fault, else why it can't."""
    with contextlib.ExitStack() as stack:
        fault = all_faults()[name]
        path = space.Path()
        stack.callback(path.close)
        echo = lib.Process(path.provider.enter(
            sys.executable, "-B", space.HERE / "reach.py", "serve", 587), "echo")
        stack.callback(echo.kill)
        stack.callback(fault.stop)
        echo.wait_line("^ready$")
        if reach(path, "connect", space.PROVIDER, 587) != "ok":
            raise lib.Failure("the provider can't be reached even without a fault")
        try:
            fault.probe(path, 587)
        except space.CantDo as error:
            return " ".join(str(error).split())
    return None


def probe_all(say, jobs):
    """Name -> None, or why not; each is said."""
    known = all_faults()
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        can = dict(zip(known, pool.map(try_out, known)))
    for name, why in can.items():
        say("%-5s %-11s %s" % ("can't" if why else "can", name, why or known[name].meaning))
    return can

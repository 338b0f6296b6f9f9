# SPDX-License-Identifier: BSD-2-Clause
"""The host's own network changes under the running daemon.

All of it happens in network and mount namespaces that the test makes for itself, which needs
root; without, it is skipped. Cases that need nftables are skipped by name where there is none.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import lib

INSIDE = "POSTHOUSE_TEST_NAMESPACE"


def enter_namespaces():
    """Run this again where nothing that is changed is anybody else's."""
    if os.environ.get(INSIDE):
        run("ip", "link", "set", "lo", "up")
        return
    unshare = ["unshare", "--net", "--mount", "--propagation", "private"]
    if os.getuid() != 0:
        lib.skip("namespaces of its own need root")
    if not shutil.which("ip") or subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        lib.skip("no namespaces can be made here")
    os.execvpe("unshare", [*unshare, sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})


def run(*words):
    subprocess.run(words, check=True, capture_output=True)


def ip(*words):
    run("ip", *words)


def has_nft():
    if shutil.which("nft") and subprocess.run(["nft", "add", "table", "inet", "probe"],
                                              capture_output=True).returncode == 0:
        run("nft", "delete", "table", "inet", "probe")
        return True
    print("skipped: no nftables here", flush=True)
    return False


def wait_all(posthouse, condition, what):
    """Until all rows of posthousectl ports are so; asked again every 50 ms."""
    deadline = time.monotonic() + lib.PATIENCE
    pause = lib.threading.Event()
    while True:
        rows = posthouse.ctl("ports")["ports"]
        if all(condition(r) for r in rows):
            return rows
        if time.monotonic() > deadline:
            raise lib.Failure(f"too late: {what}: {rows}")
        pause.wait(0.05)


def test_a_new_address_wakes_the_probes():
    """All ports are down and the next probes far away: an address brings them at once."""
    ip("link", "add", "wan0", "type", "veth", "peer", "name", "wan1")
    ip("link", "set", "wan1", "up")
    ip("link", "set", "wan0", "up")
    with lib.world("netlink", before=lib.Sink.refuse_all, debug=True) as (sink, posthouse):
        log = posthouse.process
        posthouse.submit(lib.new_token())
        wait_all(posthouse, lambda r: r["state"] == "down" and r["last_probe"],
                 "all down, and the probes of the start over")
        # What concerns the loopback interface alone is nothing to us.
        ip("address", "add", "127.0.0.9/8", "dev", "lo")
        ip("route", "add", "198.51.100.0/24", "dev", "lo")
        quiet = log.mark()
        sink.reset_all()
        assert "network-changed" not in log.text(), log.text()
        began = time.monotonic()
        ip("address", "add", "192.0.2.2/24", "dev", "wan0")
        line = log.wait_line("network-changed", quiet)
        assert re.search(r'reason="(address|route) changed', line), line
        at = log.lines.index(line)
        for number in sink.ports.values():
            log.wait_line(rf"\bprobe relay=main endpoint=localhost:{number} class=ok", at)
        sink.wait_received(1)
        # A port that is down is probed after 24 s at the earliest.
        if lib.PATIENCE <= 90:
            assert time.monotonic() - began < 15, "the probes came by themselves"
        # At most once in 10 s: the second one is told of, but later.
        again = log.mark()
        told = time.monotonic()
        ip("address", "add", "192.0.2.3/24", "dev", "wan0")
        ip("route", "add", "203.0.113.0/24", "dev", "wan0")
        ip("link", "set", "wan0", "down")
        log.wait_line("network-changed", again)
        assert time.monotonic() - began > 9, (began, told, time.monotonic())
        assert log.text(again).count("network-changed") == 1, log.text(again)
    ip("link", "delete", "wan0")


def cut_in_the_text(endpoints):
    """In the middle of a text everything that goes to the first port is dropped: nothing is acknowledged any more."""
    with lib.world("silent", endpoints=endpoints, debug=True) as (sink, posthouse):
        sink.fault("587", "body", "hang")
        token = lib.new_token()
        posthouse.submit(token, body=lib.message(token, size=20 << 20))    # more than sockets hold
        sink.wait_line(r"^\* fault 587 .*body")
        # It does not read, and says so: that alone is no reason to give up.
        port = sink.ports["587"]
        began = time.monotonic()
        run("nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; };"
            f"add rule inet cut in tcp dport {port} drop; add rule inet cut in tcp sport {port} drop")
        try:
            line = posthouse.process.wait_line(
                rf"attempt-failed relay=main endpoint=localhost:{port} class=cut_before_dot")
            print(f"given up after {time.monotonic() - began:.1f} s", flush=True)
            if len(endpoints) > 1:
                sink.wait_received(1)
                [m] = sink.messages()
                assert m.port == "465" and lib.is_whole(m, token), m.port
            return line
        finally:
            run("nft", "delete", "table", "inet", "cut")


def test_a_silent_path_is_dead_after_15_s():
    if not has_nft():
        return
    line = cut_in_the_text(("587",))
    assert "timed out" in line, line


def test_a_silent_path_is_left_for_another_port():
    if not has_nft():
        return
    line = cut_in_the_text(("587", "465"))
    assert "no acknowledgement for" in line, line


def probe_until(posthouse, condition, what):
    """A probe of the only port shows this."""
    posthouse.ctl("probe")
    return wait_all(posthouse, condition, what)[0]


def test_who_forbids_a_connection():
    """Each way in which this host can stop it has its own errno or ICMP word."""
    if not has_nft():
        return
    with lib.world("forbidden", endpoints=("587",), debug=True) as (sink, posthouse):
        port = sink.ports["587"]

        def routed(kind):
            ip("rule", "add", "pref", "0", "to", "127.0.0.1", "lookup", "77")
            ip("route", "add", kind, "127.0.0.1", "table", "77")
            ip("rule", "add", "pref", "1", "lookup", "local")
            ip("rule", "del", "pref", "0", "lookup", "local")

        def unrouted():
            ip("rule", "add", "pref", "0", "lookup", "local")
            ip("rule", "del", "pref", "1")
            ip("rule", "del", "pref", "0", "lookup", "77")
            ip("route", "flush", "table", "77")

        def filtered(how):
            run("nft", "add table ip own; add chain ip own out { type filter hook output priority 0; };"
                f"add rule ip own out tcp dport {port} {how}")

        def unfiltered():
            run("nft", "delete", "table", "ip", "own")

        # No two with the same class in a row.
        for begin, how, word, end in (
                (routed, "prohibit", "local_denied", unrouted),
                (routed, "unreachable", "no_route", unrouted),
                (filtered, "reject with icmp type admin-prohibited", "local_denied", unfiltered),
                (routed, "blackhole", "no_route", unrouted),
                (filtered, "reject with tcp reset", "refused", unfiltered),
                (filtered, "reject", "local_denied", unfiltered),
                (filtered, "drop", "filtered", unfiltered)):
            begin(how)
            row = probe_until(posthouse, lambda r, word=word: r["class"] == word, f"{how}: {word}")
            print(f"{how}: {row['why']}", flush=True)
            end()
            probe_until(posthouse, lambda r: not r["suspect"] and r["state"] not in ("down", "unknown"),
                        f"well again after {how}")


class NameServer:
    """Says of every name that it has this address."""

    def __init__(self, at, address):
        self.answer = socket.inet_aton(address)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((at, 53))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(512)
            except OSError:
                return
            if len(query) < 17:
                return      # stop()
            end = query.index(b"\0", 12) + 5
            wants_a = query[end - 4:end - 2] == b"\0\1"
            head = query[:2] + b"\x81\x80" + b"\0\1" + (b"\0\1" if wants_a else b"\0\0") + b"\0\0\0\0"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + self.answer if wants_a else b""
            self.socket.sendto(head + query[12:end] + answer, client)

    def stop(self):
        """Not before its thread has let go of the socket is the address free again."""
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


def test_resolver_files_replaced_by_rename_are_noticed():
    """hosts, resolv.conf: the sandboxed resolver reads what is there now; what it last said stands in."""
    with lib.workplace("resolver") as place:
        etc = place / "etc"
        shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
        (etc / "resolv.conf").unlink(missing_ok=True)
        run("mount", "--bind", str(etc), "/etc")

        def put(name, text):
            (etc / "new").write_text(text)
            os.rename(etc / "new", etc / name)

        servers = [NameServer("127.0.0.53", "127.0.0.3"), NameServer("127.0.0.54", "127.0.0.1")]
        try:
            put("nsswitch.conf", "hosts: files dns\n")
            put("resolv.conf", "nameserver 127.0.0.53\noptions timeout:1 attempts:1\n")
            put("hosts", "127.0.0.3 localhost\n")      # nobody listens there
            with lib.world("names", endpoints=("587",), debug=True) as (sink, posthouse):
                posthouse.submit(lib.new_token())
                probe_until(posthouse, lambda r: r["class"] == "refused", "refused")
                put("hosts", "127.0.0.1 localhost\n")
                posthouse.ctl("probe")
                sink.wait_received(1)
            put("hosts", "192.0.2.1 elsewhere\n")        # the name server is asked: a wrong one at first
            with lib.world("servers", endpoints=("587",), debug=True) as (sink, posthouse):
                posthouse.submit(lib.new_token())
                probe_until(posthouse, lambda r: r["class"] == "refused", "refused")
                put("resolv.conf", "nameserver 127.0.0.54\noptions timeout:1 attempts:1\n")
                posthouse.ctl("probe")
                sink.wait_received(1)
        finally:
            for server in servers:
                server.stop()
            run("umount", "/etc")


def test_replaced_certificates_end_a_block():
    """The ca_file of the relay does not know the server's authority; then another one takes its place."""
    with lib.workplace("trust") as place:
        certs = lib.make_certs(place / "certs")
        trusted = place / "trusted"
        trusted.mkdir()
        shutil.copy(lib.make_certs(place / "strange") / "ca.pem", trusted / "ca.pem")
        sink = lib.Sink(place / "sink", certs)
        posthouse = None
        try:
            posthouse = lib.Daemon(place, sink, certs, relay={"ca_file": str(trusted / "ca.pem")}, debug=True)
            log = posthouse.process
            posthouse.submit(lib.new_token())
            wait_all(posthouse, lambda r: r["class"] == "tls_untrusted", "untrusted")
            shutil.copy(certs / "ca.pem", trusted / "new.pem")
            os.rename(trusted / "new.pem", trusted / "ca.pem")
            posthouse.ctl("probe")
            log.wait_line("trust-changed relay=main")
            sink.wait_received(1)
        finally:
            if posthouse:
                posthouse.kill()
            sink.kill()


class SystemTrust(lib.Daemon):
    """Its relay has no ca_file: it trusts what the system trusts."""

    def write_config(self):
        self.settings["relays"][0].pop("ca_file", None)
        super().write_config()


def test_replaced_system_certificates_end_a_block():
    """The system's directory of authorities, and its bundle where there is no such directory."""
    told = subprocess.run(["openssl", "version", "-d"], capture_output=True, text=True, check=True).stdout
    system = re.search('OPENSSLDIR: "(.*)"', told).group(1)
    for kind in ("directory", "bundle"):
        with lib.workplace("store") as place:
            certs, store = lib.make_certs(place / "certs"), place / "ssl"
            (store / "certs").mkdir(parents=True)

            def put(authority, kind=kind, store=store):
                """In place of the one before, by rename."""
                shutil.copy(authority, store / "new")
                name = "cert.pem"
                if kind == "directory":
                    name = "certs/" + subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", authority],
                                                     capture_output=True, text=True, check=True).stdout.strip() + ".0"
                os.rename(store / "new", store / name)

            put(lib.make_certs(place / "strange") / "ca.pem")
            run("mount", "--bind", str(store), system)
            sink = lib.Sink(place / "sink", certs)
            posthouse = None
            try:
                posthouse = SystemTrust(place, sink, certs, debug=True)
                posthouse.submit(lib.new_token())
                wait_all(posthouse, lambda r: r["class"] == "tls_untrusted", f"{kind}: untrusted")
                put(certs / "ca.pem")
                posthouse.ctl("probe")
                posthouse.process.wait_line("trust-changed relay=main")
                sink.wait_received(1)
            finally:
                if posthouse:
                    posthouse.kill()
                sink.kill()
                run("umount", system)


def main():
    enter_namespaces()
    lib.run_tests(globals())


main()

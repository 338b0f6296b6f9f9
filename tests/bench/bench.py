#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""make bench: posthouse and, where root and Postfix are at hand, Postfix as a null
client beside it, interleaved in one run on the same file system with real syncs.

What is measured (doc/performance.md says how the figures are to be read):

  accept   messages a second taken durably while delivery is held, by number of clients and size,
           and syncs per message; beside it a file per message, and the disk's own rate of syncs
  slow     the same with 5 ms added to each sync
  relay    messages a second from first client to received upstream, TLS and login
  idle     memory (PSS) of all processes of posthouse

Options: --rounds N, --seconds N (each measurement of accept), --messages N (relay), --quick.
"""

import argparse
import json
import os
import pwd
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))
import postfix  # noqa: E402

BUILD = os.environ.get("top_builddir", ".")
POSTHOUSED = os.path.join(BUILD, "posthoused")
SLOW = os.path.join(BUILD, "tests/system/posthoused-faulty")
CTL = os.path.join(BUILD, "posthousectl")
DISK = os.path.join(BUILD, "tests/bench/disk")
SINK = os.path.join(BUILD, "tests/sink/posthouse-sink")
LOAD = os.path.join(BUILD, "tests/bench/load")
CERTS = os.path.join(HERE, "..", "sink", "make-certs.sh")
USER, PASSWORD = "web1", "bench-password"


def say(*words):
    print(*words, flush=True)


def make_certs(top):
    folder = os.path.join(top, "certs")
    if not os.path.isdir(folder):
        subprocess.run(["sh", CERTS, folder], check=True, stdout=subprocess.DEVNULL)
    return folder


class Sink:
    """posthouse-sink, storing nothing."""

    def __init__(self, top, *ports, login=True):
        self.certs = make_certs(top)
        command = [SINK, "--certs", self.certs, "--discard", "--control", "-"]
        if login:
            command += ["--user", USER, "--password", PASSWORD]
        for port in ports:
            command += ["--port", port]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)
        self.ports = {}
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "port":
                self.ports[words[1]] = int(words[2])
            elif words[0] == "ready":
                break

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def received(self, port):
        return int(re.search(r"received=(\d+)", self.ask("stats " + port)).group(1))

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


class Posthouse:
    """The daemon, as an ordinary user if we are root, with one endpoint."""

    name = "posthouse"

    def __init__(self, top, host, port, tls, ca, login, program=POSTHOUSED):
        self.top = top
        os.makedirs(top)
        self.port = postfix.free_port()
        self.binary = os.path.join(top, "posthoused")
        shutil.copy(program, self.binary)
        shutil.copy(ca, os.path.join(top, "ca.pem"))
        secret = os.path.join(top, "password")
        with open(secret, "w") as f:
            f.write(PASSWORD + "\n")
        os.chmod(secret, 0o600)
        self.conf = os.path.join(top, "posthouse.conf")
        with open(self.conf, "w") as f:
            f.write("""
hostname = "bench.example.com";
admin = "admin@example.com";
listen = [ "127.0.0.1:%d" ];
state_dir = "%s/state";
runtime_dir = "%s/run";
limits = { connections = 2000; connections_per_client = 2000; };
queue = { bytes_max = "64G"; messages_max = 10000000; };
relays = ( {
  name = "bench"; host = "%s"; %s ca_file = "%s/ca.pem"; insecure = %s;
  connections = 20; messages_per_connection = 1000;
  endpoints = ( { port = %d; tls = "%s"; } );
} );
""" % (self.port, top, top, host, "user = \"%s\"; password_file = \"%s\";" % (USER, secret)
                if login else "", top, "false" if tls != "none" else "true", port, tls))
        self.user = None
        if os.geteuid() == 0:
            self.user = pwd.getpwnam("nobody")
            for folder, folders, files in os.walk(top):
                for name in [folder] + [os.path.join(folder, n) for n in files]:
                    os.chown(name, self.user.pw_uid, self.user.pw_gid)

    def start(self):
        self.log = open(os.path.join(self.top, "log"), "w")
        extra = dict(user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[]) if self.user else {}
        self.process = subprocess.Popen([self.binary, "-c", self.conf], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, cwd="/", **extra)
        postfix.wait_for_port(self.port, process=self.process)

    def disk(self):
        """The counters of the disk, and of what was accepted."""
        told = json.loads(subprocess.run([CTL, "-c", self.conf, "--json", "status"], check=True,
                                         stdout=subprocess.PIPE).stdout)
        return dict(told["disk"], accepted=told["since_start"]["accepted"])

    def pids(self):
        """The supervisor and all below it."""
        parents = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/stat" % name) as f:
                        parents[int(name)] = int(f.read().rsplit(")", 1)[1].split()[1])
                except OSError:
                    pass
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += [p for p, parent in parents.items() if parent == pid]
        return found

    def pss_kib(self):
        total = 0
        for pid in self.pids():
            with open("/proc/%d/smaps_rollup" % pid) as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
        return total

    def cpu_seconds(self):
        ticks = 0
        for pid in self.pids():
            with open("/proc/%d/stat" % pid) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class PostfixNullClient:
    """Tuned as its documentation advises for a busy null client."""

    name = "postfix"

    def __init__(self, top, host, port, tls, ca, login):
        self.port = postfix.free_port()
        self.instance = p = postfix.Postfix(top)
        p.params.update(
            relayhost="[%s]:%d" % (host, port),
            smtpd_relay_restrictions="permit_mynetworks,reject",
            smtpd_peername_lookup="no",
            default_process_limit="200",
            smtpd_client_connection_count_limit="0",
            default_destination_concurrency_limit="20",
            initial_destination_concurrency="20",
            smtp_connection_cache_on_demand="yes",
            smtp_tls_connection_reuse="yes",
            smtp_host_lookup="native",
            disable_dns_lookups="yes",
        )
        if tls == "starttls":
            p.params.update(smtp_tls_security_level="secure", smtp_tls_CAfile=ca,
                            smtp_tls_secure_cert_match=host)
        if login:
            p.params.update(smtp_sasl_auth_enable="yes", smtp_sasl_security_options="noanonymous",
                            smtp_sasl_password_maps="static:%s:%s" % (USER, PASSWORD))
        p.service(postfix.smtpd_service(self.port))

    def hold(self):
        self.instance.params.update(defer_transports="smtp")

    def start(self):
        self.instance.start(self.port)

    def stop(self):
        self.instance.stop()


def run_load(port, clients, messages, keep, size=10240, seconds=60):
    command = [LOAD, "-p", str(port), "-c", str(clients), "-n", str(messages), "-s", str(size),
               "-t", str(seconds)] + (["-k"] if keep else [])
    return figures(command)


def figures(command):
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    found = {k: float(v) for k, v in (word.split("=") for word in out.split())}
    if found.get("failed"):
        raise RuntimeError("%s: %d failed" % (" ".join(command), found["failed"]))
    return found


def run_disk(top, what, writers, size, seconds):
    folder = tempfile.mkdtemp(prefix="disk.", dir=top)
    try:
        return figures([DISK, what, "-d", folder, "-c", str(writers), "-s", str(size),
                        "-t", str(seconds)])
    finally:
        shutil.rmtree(folder)


def table(title, rows, columns):
    say("\n" + title)
    widths = [max(len(str(r[i])) for r in [columns] + rows) for i in range(len(columns))]
    for row in [columns] + rows:
        say("  " + "  ".join(str(cell).rjust(w) for cell, w in zip(row, widths)))


def spread(values):
    return "%.0f (%.0f-%.0f)" % (statistics.median(values), min(values), max(values))


KIB = 1024
SIZES = (1 * KIB, 10 * KIB, 100 * KIB)
CLIENTS = (1, 10, 50, 100)
VOLUME = 200 << 20      # bytes that one measurement writes at most


class Accepting:
    """One peer whose mail can't leave, measured again and again."""

    def __init__(self, peer, seconds):
        self.peer, self.seconds = peer, seconds
        self.rates, self.p50, self.p99, self.syncs, self.batch = [], [], [], [], []

    def run(self, clients, size, keep=True):
        counted = isinstance(self.peer, Posthouse)
        before = self.peer.disk() if counted else None
        most = max(clients, VOLUME // size)
        r = run_load(self.peer.port, clients, most, keep, size, self.seconds)
        self.rates.append(r["rate"])
        self.p50.append(r["p50_ms"])
        self.p99.append(r["p99_ms"])
        if counted:
            after = self.peer.disk()
            taken = after["accepted"] - before["accepted"]
            if taken == 0:
                raise RuntimeError("%s took no message in a minute" % self.peer.name)
            self.syncs.append((after["syncs"] - before["syncs"]) / taken)
            self.batch.append(taken / (after["batches"] - before["batches"]))

    def cells(self):
        found = [spread(self.rates)]
        if self.syncs:
            found += ["%.3f" % statistics.median(self.syncs), "%.1f" % statistics.median(self.batch)]
        return found + ["%.2f" % statistics.median(self.p50), "%.2f" % statistics.median(self.p99)]


class Files:
    """A file per message: the strategy alone, without SMTP."""

    def __init__(self, top, seconds):
        self.top, self.seconds = top, seconds
        self.rates, self.p99 = [], []

    def run(self, clients, size):
        r = run_disk(self.top, "files", clients, size, self.seconds)
        self.rates.append(r["rate"])
        self.p99.append(r["p99_ms"])


def accept_peers(top, sink, dead, size, have_postfix):
    ca = os.path.join(sink.certs, "ca.pem")
    peers = [Posthouse(os.path.join(top, "accept-%d" % size), "127.0.0.1", dead, "none", ca, False)]
    if have_postfix:
        other = PostfixNullClient(os.path.join(top, "accept-postfix-%d" % size), "127.0.0.1", dead,
                                  "none", None, False)
        other.hold()
        peers.append(other)
    for peer in peers:
        peer.start()
    return peers


def accept_row(top, options, peers, sink, clients, size, keep):
    """All in turn, round by round, so that what else goes on hits all of them."""
    ours = [Accepting(p, options.seconds) for p in peers]
    ceiling = []
    files = Files(top, options.seconds)
    for _ in range(options.rounds):
        for one in ours:
            one.run(clients, size, keep)
        files.run(clients, size)
        ceiling.append(run_load(sink.ports["plain"], clients, VOLUME // size, keep, size, 1)["rate"])
    row = [clients, "%d KiB" % (size // KIB), "kept" if keep else "new", *ours[0].cells(),
           spread(files.rates), "%.2f" % statistics.median(files.p99)]
    rate = statistics.median(ours[0].rates)
    if len(ours) > 1:
        row += ours[1].cells() + ["%.1f" % (rate / statistics.median(ours[1].rates))]
    else:
        row += ["-"] * 4
    return row + ["%.0f %%" % (100 * rate / statistics.median(ceiling))]


def measure_accept(top, options, have_postfix):
    """Nothing leaves meanwhile: posthouse's smarthost refuses, Postfix defers."""
    say("\naccept: delivery held; %d rounds of %d s" % (options.rounds, options.seconds))
    dead = postfix.free_port()
    sink = Sink(top, "plain:plain", login=False)
    rows, disk = [], []
    try:
        for size in SIZES:
            peers = accept_peers(top, sink, dead, size, have_postfix)
            try:
                for clients in CLIENTS:
                    rows.append(accept_row(top, options, peers, sink, clients, size, True))
                if size == 10 * KIB:
                    rows += [accept_row(top, options, peers, sink, n, size, False) for n in CLIENTS]
            finally:
                for peer in peers:
                    peer.stop()
            plain = [run_disk(top, "sync", 1, size, options.seconds) for _ in range(options.rounds)]
            disk.append(["%d KiB" % (size // KIB), spread([r["rate"] for r in plain]),
                         "%.2f" % statistics.median([r["p50_ms"] for r in plain]),
                         "%.2f" % statistics.median([r["p99_ms"] for r in plain])])
    finally:
        sink.stop()
    table("accepted durably, messages a second: median (least-most)", rows,
          ["clients", "size", "connection", "posthouse", "syncs/message", "messages/sync", "p50 ms",
           "p99 ms", "file per message", "p99 ms", "postfix", "p50 ms", "p99 ms", "ratio", "of sink"])
    table("the disk: one writer, write and fdatasync, a second", disk, ["size", "syncs", "p50 ms", "p99 ms"])


def measure_slow(top, options, have_postfix):
    """How many syncs does it take where one is dear?"""
    if not os.path.exists(SLOW):
        return say("\nSKIP slow: built without tests")
    say("\nslow: 5 ms added to each sync of the spool, messages of 10 KiB, connection kept")
    peer = Posthouse(os.path.join(top, "slow"), "127.0.0.1", postfix.free_port(), "none",
                     os.path.join(make_certs(top), "ca.pem"), False, SLOW)
    rows = []
    peer.start()
    try:
        with open(os.path.join(peer.top, "state/spool/fault-slow"), "w"):
            pass
        os.chmod(os.path.join(peer.top, "state/spool/fault-slow"), 0o644)
        for clients in CLIENTS:
            one = Accepting(peer, options.seconds)
            for _ in range(options.rounds):
                one.run(clients, 10 * KIB)
            rows.append([clients, *one.cells()])
    finally:
        peer.stop()
    table("accepted with a sync of 5 ms and more, messages a second", rows,
          ["clients", "posthouse", "syncs/message", "messages/sync", "p50 ms", "p99 ms"])


def relay_once(sink, peer, messages, size):
    """From the first byte of the first client to the last message received upstream."""
    before = sink.received("tls")
    begin = time.monotonic()
    run_load(peer.port, 20, messages, True, size)
    end = begin + 120
    while sink.received("tls") - before < messages:
        if time.monotonic() > end:
            raise RuntimeError("%s: %d of %d messages after 120 s" %
                               (peer.name, sink.received("tls") - before, messages))
        select.select([], [], [], 0.005)
    return messages / (time.monotonic() - begin)


def measure_relay(top, options, have_postfix):
    say("\nrelay: accepted from 20 clients and relayed over STARTTLS with AUTH, messages of %d bytes" %
        options.size)
    sink = Sink(top, "tls:starttls")
    ca = os.path.join(sink.certs, "ca.pem")
    peers = [Posthouse(os.path.join(top, "relay"), "localhost", sink.ports["tls"], "starttls", ca, True)]
    if have_postfix:
        peers.append(PostfixNullClient(os.path.join(top, "relay-postfix"), "localhost",
                                       sink.ports["tls"], "starttls", ca, True))
    rates = {peer.name: [] for peer in peers}
    try:
        for peer in peers:
            peer.start()
        for _ in range(options.rounds):
            for peer in peers:
                n = options.messages * 2 if peer is peers[0] else max(200, options.messages // 4)
                rates[peer.name].append(relay_once(sink, peer, n, options.size))
    finally:
        for peer in peers:
            peer.stop()
        sink.stop()
    ratio = "-"
    if have_postfix:
        ratio = "%.1f" % (statistics.median(rates["posthouse"]) / statistics.median(rates["postfix"]))
    table("relayed end to end, messages a second", [[spread(rates["posthouse"]),
          spread(rates["postfix"]) if have_postfix else "-", ratio]], ["posthouse", "postfix", "ratio"])


def measure_idle(top, options):
    """Three endpoints rated over TLS, nothing to do."""
    sink = Sink(top, "587:starttls", "465:implicit", "2525:starttls")
    peer = Posthouse(os.path.join(top, "idle"), "localhost", sink.ports["587"], "starttls",
                     os.path.join(sink.certs, "ca.pem"), True)
    with open(peer.conf) as f:
        text = f.read()
    text = re.sub(r"endpoints = .*;\n", "endpoints = ( " + ", ".join(
        '{ port = %d; tls = "%s"; }' % (sink.ports[n], m) for n, m in
        (("587", "starttls"), ("465", "implicit"), ("2525", "starttls"))) + " );\n", text)
    with open(peer.conf, "w") as f:
        f.write(text)
    try:
        peer.start()
        end = time.monotonic() + 60
        while time.monotonic() < end and not all(
                int(re.search(r"tls=(\d+)", sink.ask("stats " + n)).group(1)) for n in sink.ports):
            select.select([], [], [], 0.1)
        fresh = peer.pss_kib()
        run_load(peer.port, 10, options.messages, True, options.size)
        end = time.monotonic() + 60
        while time.monotonic() < end and sum(sink.received(n) for n in sink.ports) < options.messages:
            select.select([], [], [], 0.05)
        select.select([], [], [], 2 if options.quick else 60)
        say("\nidle: PSS of %d processes: %.1f MiB with three endpoints rated, %.1f MiB %s after %d messages" %
            (len(peer.pids()), fresh / 1024, peer.pss_kib() / 1024,
             "2 s" if options.quick else "one minute", options.messages))
    finally:
        peer.stop()
        sink.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--size", type=int, default=10240)
    parser.add_argument("--quick", action="store_true", help="one short round: does it work at all?")
    parser.add_argument("--only", choices=["accept", "slow", "relay", "idle"])
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.messages, options.seconds = 1, 500, 1
    have_postfix = os.geteuid() == 0 and os.path.exists("/usr/sbin/postfix")
    if not have_postfix:
        say("SKIP postfix beside posthouse: needs root and Debian's package postfix")
    # Not in /tmp: that may be in memory, where a sync costs nothing.
    top = tempfile.mkdtemp(prefix="posthouse-bench.", dir="/var/tmp")
    os.chmod(top, 0o755)
    try:
        if options.only in (None, "accept"):
            measure_accept(top, options, have_postfix)
        if options.only in (None, "slow"):
            measure_slow(top, options, have_postfix)
        if options.only in (None, "relay"):
            measure_relay(top, options, have_postfix)
        if options.only in (None, "idle"):
            measure_idle(top, options)
    finally:
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    main()

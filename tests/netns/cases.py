# SPDX-License-Identifier: BSD-2-Clause
"""What happens to mail when a path breaks: one case is a fault, some ports, a moment.

run() plays a case with one program in a world of its own and measures; check() holds
what posthouse promises against the figures.
"""

import contextlib
import dataclasses
import re
import threading
import time

import faults
import lib
import programs
import space

CAP = 120.0             # seconds that are waited for a message of another program
COST = 1.0              # of a dead preferred port at start, on the wire; each further one as much
FIRST = 3.0             # until the first message is there; sanitizers make all else slow
MOVED = 20.0            # what was not past the final dot has moved
LOSSY = 45.0            # half of the round trips lose a packet: of a thousand sessions TCP alone delays one so long
HEAD_START = 4.0        # that a provider has which nothing is known of, before the next one gets its mail
MINUTE = 65.0           # of traffic
AT_ONCE = 5.0           # a message that ran into no time-out

# Class -> words of the sentence that posthousectl ports has for it.
MEANS = {
    "filtered": "filtered on the way",
    "refused": "nothing listens on the port",
    "no_route": "no route to the host",
    "prohibited": "says that the connection is prohibited",
    "local_denied": "forbids the connection",
    "no_banner": "no greeting came",
    "tls_handshake": "TLS handshake failed",
    "starttls_missing": "STARTTLS is not offered",
    "starttls_blanked": "writes X over the offer of STARTTLS",
    "tls_untrusted": "interception on port 587: its certificate is issued by ",     # its neighbour's tells
    "wants_starttls": "speaks plain SMTP first",
    "auth_unanswered": "the login was sent and got no answer",
    "cut_before_dot": "broke before the message was complete",
    "cut_after_dot": "broke before the message was confirmed",
}


@dataclasses.dataclass
class Case:
    moment: str                 # start, a minute, traffic, idle, or silent at a step
    fault: str                  # a name of faults.all_faults(), or none
    ports: tuple = ("587",)
    expect: tuple = ()          # classes that may be named for the first of the ports
    size: int = 0               # of the message
    peers: str = "long"         # beside posthouse: always, or only in the long run
    quick: bool = False         # ends within seconds: part of make check
    backup: bool = False        # a second provider, which nothing is wrong with

    @property
    def title(self):
        return f"{self.what()}, {self.moment}"

    def what(self):
        if self.fault in NO_FAULT:
            return NO_FAULT[self.fault]
        return f"{self.fault} on {', '.join(self.ports)}" + (", two providers" if self.backup else "")


# What the sink calls the ports of each provider, and where it listens for them.
SERVERS = (("", 0), ("backup-", space.BACKUP_BASE))
HERE = ("own firewall", "forbidden", "routeless", "swallowed")      # nothing of it is seen on the wire
# Not made by the kernel, but by the smarthost itself: what it does, and what the sink is told for that.
SERVERS_OWN = {
    "cuts": ("the smarthost ends each connection when the message begins (MAIL)", ("fault", "mail", "cut")),
    "cuts later": ("the same at its first recipient (RCPT)", ("fault", "rcpt", "cut")),
    "slow": ("each reply of the smarthost takes 20 s", ("set", "delay", 20000)),
}
NO_FAULT = {"none": "nothing is wrong", "login": "the password is wrong"}
ALL = ("587", "465", "2525")
# What a session can't get beyond, at once or never: the dead port costs the first message its head start.
PROMPT = ("intercepted", "drop", "reset", "unreachable", "prohibited", "one-way", "stripped", "blanked", "mute")
CARRIES = ("loss", "mtu")       # some mail gets through all the same
# Of connections that break, wherever they are.
BROKEN = ("no_banner", "tls_handshake", "auth_unanswered", "cut_before_dot", "cut_after_dot")
CASES = [
    Case("start", "none", peers="always", quick=True),
    Case("start", "drop", expect=("filtered",), peers="always", quick=True),
    Case("start", "reset", expect=("refused",), peers="always", quick=True),
    Case("start", "unreachable", expect=("no_route",)),
    Case("start", "prohibited", expect=("prohibited",), quick=True),
    Case("start", "one-way", expect=("filtered",)),
    Case("start", "loss"),
    Case("start", "stripped", expect=("starttls_missing",), peers="always", quick=True),
    Case("start", "blanked", expect=("starttls_blanked",)),
    Case("start", "intercepted", expect=("tls_untrusted",), quick=True),
    Case("start", "mute", expect=("no_banner",)),
    Case("start", "answers", ALL, expect=("starttls_missing",)),
    Case("start", "mtu", size=400000, quick=True),
    Case("start", "family", ALL, quick=True),
    Case("start", "forbidden", expect=("local_denied",), quick=True),
    Case("start", "own firewall", expect=("local_denied",), quick=True),
    Case("start", "routeless", expect=("no_route",), quick=True),
    Case("start", "swallowed", expect=("no_route",)),
    Case("start", "drop", ("587", "465"), expect=("filtered",), peers="always", quick=True),
    Case("start", "away", ALL, backup=True, quick=True),
    Case("start", "mute", ALL, backup=True),
    Case("start", "cuts", expect=("cut_before_dot",)),
    Case("start", "cuts", ALL, expect=("cut_before_dot",), backup=True, quick=True),
    Case("start", "cuts later", ALL, expect=("cut_before_dot",), backup=True),
    Case("start", "slow", ALL, backup=True),
    Case("a minute", "drop", ("587", "465"), expect=("filtered",), peers="always"),
    Case("start", "login", ALL, peers="always"),
    Case("traffic", "drop", expect=("filtered", *BROKEN)),
    Case("traffic", "reset", expect=("refused", *BROKEN)),
    Case("traffic", "unreachable", expect=("no_route", *BROKEN)),
    Case("traffic", "prohibited", expect=("prohibited", *BROKEN)),
    Case("traffic", "one-way", expect=("filtered", *BROKEN)),
    Case("traffic", "loss"),
    Case("traffic", "away", ALL, backup=True, quick=True),
    Case("idle", "drop", expect=("filtered", "cut_before_dot")),
    Case("idle", "reset", expect=("refused", "cut_before_dot")),
    Case("idle", "one-way", expect=("filtered", "cut_before_dot")),
    Case("idle", "away", ALL, backup=True),
    Case("idle", "slow", ALL, backup=True),
    Case("silent at data", "silent", expect=("filtered", "cut_before_dot")),
    Case("silent at dot", "silent", expect=("filtered", "cut_after_dot")),
]


@dataclasses.dataclass
class Result:
    case: Case
    program: str
    first: float = None         # seconds until the message was there; None: not in time
    cost: float = None          # from the first attempt to the first one elsewhere
    wasted: int = 0             # attempts to connect to a faulty port after the fault
    probes: int = 0             # besides: without mail
    lost: int = 0
    returned: int = 0           # given up: the sender is told
    repeated: int = 0
    uncertain: int = 0          # past the final dot, no reply: listed, sent again later
    waiting: int = 0            # still in the queue at the end
    logins: int = 0
    clear: int = 0              # bytes of packets with a login or an envelope in clear
    note: str = ""

    def line(self):
        when = f"{self.first:6.2f} s" if self.first is not None else f"> {CAP:.0f} s"
        return (f"{self.program:10} {when}  wasted {self.wasted}"
                + (f" (+{self.probes} probes)" if self.probes else "")
                + (f"  cost {self.cost:.2f} s" if self.cost is not None else "")
                + f"  lost {self.lost}  returned {self.returned}  repeated {self.repeated}  uncertain {self.uncertain}"
                f"  waiting {self.waiting}  logins {self.logins}  clear {self.clear}"
                + (f"  {self.note}" if self.note else ""))


class World:
    """A path, a smarthost behind it, and what goes over the wire."""

    def __init__(self, place, certs, case, stack):
        self.place = place
        self.certs = certs
        self.path = space.Path()
        stack.callback(self.path.close)
        self.path.resolve(place, six=case.fault == "family")
        self.backup = case.backup
        self.hosts = (space.SMARTHOST, space.BACKUP) if self.backup else (space.SMARTHOST,)
        if self.backup:
            self.path.part_providers()
        self.wire = space.Wire(self.path, (lib.Sink.PASSWORD, lib.Sink.USER, "alice@example.com",
                                           "bob@example.net"))
        stack.callback(self.wire.kill)
        ports = [w for name, number in space.NUMBERS.items() for before, base in SERVERS[:len(self.hosts)]
                 for w in ("--port", f"{before}{name}:{'implicit' if name == '465' else 'starttls'}:{base + number}")]
        self.sink = lib.Sink(place / "sink", certs, wrapper=self.path.provider.enter(),
                             extra=["--address", "::" if self.path.six else "0.0.0.0", *ports,
                                    *(["--password", "changed"] if case.fault == "login" else [])])
        stack.callback(self.sink.kill)


class Run:
    """One program, one case."""

    def __init__(self, world, program, case, limit):
        self.world = world
        self.program = program
        self.case = case
        self.limit = limit
        self.fault = faults.all_faults().get(case.fault)
        self.ours = isinstance(program, programs.Posthouse)
        self.sent = {}          # token -> time.monotonic() of its submission
        self.ids = {}           # token -> id, where the program tells one
        self.broken = None      # time.monotonic() of the fault
        self.broken_wall = 0.0  # time.time(), to compare with packets

    def break_path(self):
        if self.case.fault in SERVERS_OWN:
            how, *words = SERVERS_OWN[self.case.fault][1]
            for port in self.case.ports:
                getattr(self.world.sink, how)(port, *words)
            self.broken_wall = time.time()
        elif self.fault is not None:
            self.broken_wall = self.fault.apply(self.world.path,
                                                [space.NUMBERS[p] for p in self.case.ports])
        self.broken = time.monotonic()

    def submit(self, size=0):
        token = lib.new_token()
        self.sent[token] = time.monotonic()
        self.ids[token] = self.program.submit(token, size)
        return token

    def arrived(self):
        """Token -> times of arrival, as time.monotonic()."""
        found = {}
        for m in self.world.sink.messages():
            token = m.header("X-Token")
            if token in self.sent:
                found.setdefault(token, []).append(m.at)
        return found

    def uncertain(self):
        """Tokens whose final dot got no reply: the log says so, and they are sent again later."""
        if not self.ours:
            return set()
        ids = set(re.findall(r"\buncertain id=([0-9a-f]{16}) to=", self.program.log()))
        return {t for t, i in self.ids.items() if i in ids}

    def wait(self, tokens, seconds=None):
        """Until these have arrived, or are uncertain; False: too late."""
        end = time.monotonic() + (seconds or self.limit)
        sink = self.world.sink
        while not set(tokens) <= set(self.arrived()) | self.uncertain():
            if time.monotonic() > end:
                return False
            with sink.changed:
                sink.changed.wait(0.25)     # what it says, or another program's log
        return True

    def must_arrive(self, tokens):
        if not self.wait(tokens, lib.PATIENCE):
            raise lib.Failure("no mail arrives even without the fault:\n" + self.program.log()[-3000:])

    # --- moments: each returns the tokens whose arrival is measured ---

    def start(self):
        self.break_path()
        self.program.start()
        token = self.submit(self.case.size)
        self.wait([token])
        return [token]

    def traffic(self):
        """Messages one after another, at most four under way when the path breaks."""
        for port in ALL:
            self.world.sink.set(port, "delay", 30)
        self.program.start()
        tokens = []
        for n in range(12):
            tokens.append(self.submit())
            self.must_arrive(tokens[:max(0, n - 3)])
        self.break_path()
        tokens += [self.submit() for _ in range(12)]
        self.wait(tokens)
        return tokens

    def idle(self):
        """One connection is kept, if the program keeps any; then several messages come at once."""
        self.program.start()
        self.must_arrive([self.submit()])
        self.break_path()
        tokens = [self.submit() for _ in range(6)]
        self.wait(tokens)
        return tokens

    def silent(self, step):
        """The smarthost says nothing at this step, and then the path drops everything."""
        sink = self.world.sink
        sink.fault("587", step, "hang", times=1)
        self.program.start()
        self.submit()
        sink.wait_line(rf"^\* fault 587 \d+ {step}$", timeout=self.limit)
        self.break_path()
        self.submit()
        self.wait(self.sent)
        return list(self.sent)

    def play(self):
        moment, _, step = self.case.moment.partition(" at ")
        tokens = self.silent(step) if step else getattr(self, moment)()
        return self.measure(tokens)

    def settle(self):
        """Until what has arrived is out of the queue, or is known to be uncertain."""
        end = time.monotonic() + (lib.PATIENCE if self.ours else 5)
        pace = threading.Event()
        while (self.program.waiting() & set(self.arrived())) - self.uncertain():
            if time.monotonic() > end:
                return
            pace.wait(0.1)

    # --- figures ---

    def measure(self, tokens):
        r = Result(self.case, self.program.name)
        if self.ours:
            self.check_words()
        self.settle()
        arrived, uncertain = self.arrived(), self.uncertain()
        late = [arrived[t][0] - max(self.sent[t], self.broken) for t in tokens
                if t in arrived and t not in uncertain]
        missing = [t for t in tokens if t not in arrived and t not in uncertain]
        r.first = max(late) if late and not missing else None
        r.repeated = sum(len(times) > 1 for t, times in arrived.items() if t not in uncertain)
        r.uncertain = len(uncertain)
        left = self.program.waiting()
        r.waiting = len(left)
        returned = self.program.returned()
        r.returned = len(returned)
        r.lost = len(set(self.sent) - set(arrived) - left - returned)
        for port in self.world.sink.ports:
            n = self.world.sink.stats(port)
            r.logins += n["logins"] + n["logins_refused"]
            r.clear += n["clear_auth"] + n["clear_mail"]
        self.program.stop()
        r.clear += self.world.wire.clear_bytes()
        self.count_attempts(r)
        r.cost = self.cost()
        return r

    def cost(self):
        """Seconds that a dead port costs the first message: from the first SYN there to one elsewhere."""
        seen = self.world.wire.connections()
        elsewhere = [at for at, port, _ in seen if port not in self.case.ports]
        return elsewhere[0] - seen[0][0] if elsewhere else None

    def is_dead(self, port, family):
        return self.case.fault not in NO_FAULT and port in self.case.ports and \
            (self.case.fault != "family" or family == "6")

    def count_attempts(self, r):
        """To faulty ports, after the fault, that carried no mail."""
        used = {}
        for m in self.world.sink.messages():
            used.setdefault(m.port, set()).add(m.session)
        for port in self.case.ports:
            kinds = self.kinds(port)
            seen = self.world.wire.connections(port)
            if self.ours and self.case.fault not in (*HERE, "family") and len(kinds) != len(seen):
                raise lib.Failure(f"{port}: the log has {len(kinds)} connections, the wire {len(seen)}")
            if self.case.fault in HERE:      # no packet leaves
                r.wasted += sum(k in ("mail", "race") for k in kinds)
                r.probes += sum(k.startswith("probe") for k in kinds)
                continue
            kinds = kinds if len(kinds) == len(seen) else ["mail"] * len(seen)
            new = [k for k, (at, _, family) in zip(kinds, seen)
                   if at > self.broken_wall and self.is_dead(port, family)]
            probes = sum(k.startswith("probe") for k in new)
            fine = len(used.get(port, ())) if self.case.fault in CARRIES else 0
            r.wasted += max(0, len(new) - probes - fine)
            r.probes += probes

    def kinds(self, port):
        """What each connection to the port was for, in order."""
        if not self.ours:
            return []
        return re.findall(rf"\bconnecting relay=\S+ endpoint={space.SMARTHOST}:{port} for=(\S+)",
                          self.program.log())

    # --- what posthouse says ---

    def check_words(self):
        """Log and posthousectl ports name the right class of the first faulty port, in words."""
        if not self.case.expect:
            return
        endpoint = f"{space.SMARTHOST}:{self.case.ports[0]}"
        line = self.program.daemon.process.wait_line(
            rf"endpoint={endpoint} .*\bclass=({'|'.join(self.case.expect)})\b")
        if self.case.fault == "intercepted":
            self.program.daemon.process.wait_line(rf"diagnosis .*endpoint={endpoint} .*interception on port 587")
        said = next(p for p in self.program.daemon.ctl("ports")["ports"]
                    if (p["host"], str(p["port"])) == (space.SMARTHOST, self.case.ports[0]))
        if said["class"] not in self.case.expect or MEANS[said["class"]] not in said["why"]:
            raise lib.Failure(f"posthousectl ports says {said}; the log: {line}")
        named = set(re.findall(rf" endpoint={endpoint} .*\bclass=(\w+)", self.program.log()))
        if named - {"ok"} - set(self.case.expect):
            raise lib.Failure(f"the log names {named}, not only {self.case.expect}")


def time_limit(case):
    """Seconds until the mail is there."""
    if case.fault == "loss":
        return LOSSY
    if case.moment == "a minute":
        return AT_ONCE
    if case.moment == "start" and not case.fault.startswith("cuts"):
        return FIRST + (HEAD_START if case.backup else 0)
    return MOVED + (HEAD_START if case.fault == "slow" else 0)      # it is alive, and gets the patience for that


def attempt_limit(case):
    """At each faulty port; None: there is no telling."""
    if case.fault in ("loss", "family", "answers"):
        return None
    if case.fault == "mtu":
        return 0
    return 2 if case.fault.startswith("cuts") else 1        # it is ready, so it may lose a race before


def check(r):
    """What posthouse promises."""
    case = r.case
    limit, spent = time_limit(case), attempt_limit(case)
    wrong = []
    if case.fault == "login":
        if r.logins != 1 or r.waiting != 1:
            wrong.append("not exactly one login, or the message does not wait")
    elif r.waiting > r.uncertain:
        wrong.append("mail still waits")
    if case.fault not in ("answers", "login") and (r.first is None or r.first > limit):
        wrong.append(f"not there within {limit} s")
    if case.moment == "start" and case.fault in PROMPT and not case.backup and r.cost > COST * len(case.ports):
        wrong.append(f"the dead port costs the first message {r.cost:.2f} s")
    if spent is not None and r.wasted > spent * len(case.ports):
        wrong.append(f"more than {spent} attempts wasted on each dead port")
    if r.lost or r.returned or r.repeated:
        wrong.append("lost, returned or repeated")
    if r.clear:
        wrong.append("something went in clear")
    if wrong:
        raise lib.Failure("; ".join(wrong) + "\n" + r.line())


def play(case, kind, certs):
    """A Result; space.CantDo if the kernel can't."""
    limit = lib.PATIENCE if kind is programs.Posthouse else CAP
    with lib.workplace("netns") as place, contextlib.ExitStack() as stack:
        world = World(place, certs, case, stack)
        program = kind(world)
        stack.callback(program.stop)
        run = Run(world, program, case, limit)
        if run.fault is not None:
            stack.callback(run.fault.stop)
        try:
            result = (special(case) or Run.play)(run)
            if kind is programs.Posthouse:
                check(result)
        except BaseException:
            (place / "program.log").write_text(program.log())
            (place / "wire.log").write_text(world.wire.text())
            raise
        return result


# --- cases with a course of their own ---

def answers_everywhere(run):
    """Mail waits while a proxy stands in front of all ports, and goes when it is gone."""
    run.break_path()
    run.program.start()
    token = run.submit()
    if run.ours:
        name_the_proxy(run)
    else:
        threading.Event().wait(10)      # so long it stands there
    run.fault.stop()
    run.world.path.rules()
    run.broken = time.monotonic()
    if run.ours:
        run.program.daemon.ctl("probe")
    run.wait([token])
    return run.measure([token])


def name_the_proxy(run):
    log = run.program.daemon.process
    for port in ("587", "2525"):
        log.wait_line(rf"endpoint={space.SMARTHOST}:{port} .*class=starttls_missing")
    log.wait_line(rf"endpoint={space.SMARTHOST}:465 .*class=wants_starttls")
    if run.arrived():
        raise lib.Failure("mail went through the proxy")
    run.check_words()
    run.case = dataclasses.replace(run.case, expect=())


def minute(run):
    """The fault is there from the start; a message every two seconds. Which of them run into a time-out?"""
    run.break_path()
    run.program.start()
    end, pace = time.monotonic() + MINUTE, threading.Event()
    while time.monotonic() < end:
        run.submit()
        pace.wait(2)        # the minute itself is what is measured
    run.wait(run.sent)
    result = run.measure(list(run.sent))
    times = [at[0] - run.sent[t] for t, at in run.arrived().items()]
    result.note = f"{len(run.sent)} messages, {sum(t <= AT_ONCE for t in times)} of them within {AT_ONCE:.0f} s"
    return result


def wrong_password(run):
    """How often is it tried within a minute?"""
    run.break_path()
    run.program.start()
    run.submit()
    run.world.sink.wait_line(r"^\* login \S+ \d+ refused$")
    threading.Event().wait(60)      # the minute itself is what is measured
    result = run.measure(list(run.sent))
    result.note = "within a minute"
    return result


def special(case):
    if case.fault == "login":
        return wrong_password
    if case.fault == "answers":
        return answers_everywhere
    if case.moment == "a minute":
        return minute
    return None

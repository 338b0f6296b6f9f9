# SPDX-License-Identifier: BSD-2-Clause
"""posthousectl against a running daemon with a queue: every command as text and as
JSON, what other users may, and what is refused with which exit status."""

import contextlib
import json
import os
import pwd
import re
import signal
import subprocess
import threading

import lib

EX_USAGE, EX_UNAVAILABLE, EX_NOPERM, EX_CONFIG = 64, 69, 77, 78
STRANGER, OTHER = 65532, 65531
ABSENT = "00000000000abcde"
ACTIONS = ("flush", "hold", "release", "remove", "probe", "unblock", "reload")


def expect(truth, what):
    if not truth:
        raise lib.Failure(what)


@contextlib.contextmanager
def queue_of(count, **options):
    """A daemon whose ports are all blocked, and the ids that wait in it, oldest first."""
    with lib.world("ctl", before=lib.Sink.refuse_all, **options) as (sink, posthouse):
        ids = [posthouse.submit(lib.new_token(), to=("bob@example.net", "carol@example.net"))
               for _ in range(count)]
        expect(sorted(ids) == ids, "ids do not grow")
        posthouse.process.wait_line(r"\brelay-down\b")
        yield sink, posthouse, ids


def run(posthouse, *words, uid=None, config=True):
    """posthousectl as it is typed; uid: by another user (root only)."""
    who = posthouse._as_user() if uid is None else \
        {"user": uid, "group": uid, "extra_groups": []}
    place = ["-c", posthouse.config] if config else []
    return subprocess.run([posthouse.bin / "posthousectl", *place, *words], capture_output=True,
                          text=True, timeout=lib.PATIENCE, stdin=subprocess.DEVNULL, **who)


def text(posthouse, *words, uid=None):
    p = run(posthouse, *words, uid=uid)
    expect(p.returncode == 0 and p.stderr == "", f"{words}: {p.returncode} {p.stderr}")
    expect(re.fullmatch(r"[\n\x20-\x7e]*", p.stdout), f"{words}: control characters")
    return p.stdout


def refused(posthouse, status, sentence, *words, **how):
    p = run(posthouse, *words, **how)
    expect(p.returncode == status, f"{words}: status {p.returncode}, {p.stderr}")
    expect(p.stdout == "", f"{words}: said {p.stdout}")
    expect(re.search(sentence, p.stderr), f"{words}: {p.stderr}")


# --- doc/control.md ------------------------------------------------------------

def documented():
    """Command -> members by their path: {"queue": {"messages", "messages.id", ...}}."""
    section = (lib.TOP / "doc/control.md").read_text().partition("## JSON")[2]
    found = {}
    for item in re.findall(r"^- ((?:.+\n(?:  .+\n)*))", section, re.M):
        head, _, rest = item.partition(":")
        rest = rest.partition(". ")[0]
        members, parent = set(), ""
        for word, mark in re.findall(r"`(\w+\??)`( \((?=`)|, a list of|;|\)|)", rest):
            members.add(parent + word)
            if mark in (" (", ", a list of"):
                parent += word + "."
            elif mark:    # a parenthesis or a semicolon behind a member ends its parent
                parent = ""
        for command in re.findall(r"`([\w -]+)`", head):
            found[command] = members
    return found


def paths(value, prefix=""):
    if isinstance(value, list):
        return set().union(*(paths(v, prefix) for v in value))
    if not isinstance(value, dict):
        return set()
    return set().union(*({prefix + k} | paths(v, prefix + k + ".") for k, v in value.items()))


def as_documented(command, answer, spec=documented()):
    have, want = paths(answer), spec[command]
    need = {w for w in want if not w.endswith("?")}
    expect(need <= have, f"{command} lacks {need - have}")
    unknown = have - {w.rstrip("?") for w in want}
    expect(not unknown, f"doc/control.md lacks {unknown} of {command}")


def ask(posthouse, *words):
    answer = posthouse.ctl(*words)
    as_documented("ports --why" if "--why" in words else words[0], answer)
    return answer


# --- looking -------------------------------------------------------------------

def why_of_one_port(sink, posthouse):
    port = sink.ports["465"]
    told = ask(posthouse, "ports", "--why", str(port))
    expect((told["port"], told["tls"], told["state"], told["class"]) ==
           (port, "implicit", "down", "refused"), told)
    expect(told["choice"] == "not chosen: down", told)
    expect([i["weight"] for i in told["inputs"]] == [55, 15, 15, 15], told)
    expect([o["other"] for o in told["others"]] == [sink.ports["587"], sink.ports["2525"]], told)
    expect(sum(e["times"] for e in told["events"]) == sum(c["probe"] + c["mail"] for c in told["counts"])
           and {c["class"] for c in told["counts"]} == {"refused"}, told)
    for name in (f"main:{port}", f"{port}/implicit", f"main:{port}/implicit"):
        expect(ask(posthouse, "ports", "--why", name)["port"] == port, name)
    shown = text(posthouse, "ports", "--why", str(port))
    for line in (rf"^port: +{port}$", r"^choice: +not chosen: down$", r"^availability +\d+ +55$",
                 r"^TIME +TIMES +BY +CLASS +THEN +SUSPECT +DETAIL$", r"^refused +\d+ +\d+$"):
        expect(re.search(line, shown, re.M), f"{line} in {shown}")


def test_looking():
    with queue_of(3) as (sink, posthouse, ids):
        status = ask(posthouse, "status")
        expect(status["queue"]["messages"] == 3 and status["queue"]["recipients"] == 6, status)
        expect(status["since_start"]["accepted"] == 3, status)
        expect(status["since_start"]["surprises"] == 0, status)
        expect(status["relays"][0]["endpoint"] is None, status)
        expect("no port" in status["relays"][0]["why"] and status["relays"][0]["advice"], status)
        expect(status["pid"] == posthouse.roles()["relay"], status)
        shown = text(posthouse, "status")
        for line in (r"^version: ", r"^queue\n  messages: +3$", r"^main +no .* no port of localhost",
                     r"^main: +check host"):
            expect(re.search(line, shown, re.M), f"{line} in {shown}")

        rows = ask(posthouse, "ports")["ports"]
        expect([r["port"] for r in rows] == [sink.ports[p] for p in ("587", "465", "2525")], rows)
        expect([r["tls"] for r in rows] == ["starttls", "implicit", "starttls"], rows)
        for r in rows:
            expect((r["state"], r["class"], r["current"]) == ("down", "refused", False), r)
            expect("refused" in r["why"] and r["advice"] and r["since"], r)
        shown = text(posthouse, "ports").split("\n")
        head = [line for line in shown if line.startswith("RELAY ") and " TLS " in line]
        expect(len(head) == 1 and head[0].split() == "RELAY PORT TLS STATE SUSPECT CURRENT SCORE SINCE "
               "LAST PROBE READY CLASS WHY".split(), head)
        for port in sink.ports.values():
            expect(any(re.match(rf"main +{port} .*\bdown\b", line) for line in shown), shown)
            expect(any(line.startswith(f"main {port}: ") for line in shown), "no advice")
            expect(any(re.fullmatch(rf"main +{port} +\?+[^?]?x", line) for line in shown), shown)
        for r in rows:    # a quarter of an hour may begin between the start and here
            expect(r["history"][:94] == ["unknown"] * 94 and r["history"][95] == "down",
                   r["history"])
        why_of_one_port(sink, posthouse)
        expect(posthouse.ctl("failover")["changes"] == [], "nothing was ever up")

        queue = ask(posthouse, "queue")
        expect([m["id"] for m in queue["messages"]] == ids, queue)
        expect((queue["shown"], queue["total"], queue["cut"]) == (3, 3, False), queue)
        for m in queue["messages"]:
            expect(m["from"] == "alice@example.com" and m["recipient_count"] == 2, m)
            expect(m["recipients"] == ["bob@example.net", "carol@example.net"], m)
            expect("does not count as an attempt" in m["reason"] and m["attempts"] == 0, m)
        first = ask(posthouse, "queue", "--limit", "2")
        expect([m["id"] for m in first["messages"]] == ids[:2] and first["cut"], first)
        shown = text(posthouse, "queue")
        expect([line.split()[0] for line in shown.split("\n")[:4]] == ["ID", *ids], shown)
        expect("bob@example.net +1" in shown, shown)
        expect("cut" in text(posthouse, "queue", "--limit", "1"), "no word of the cut")

        told = ask(posthouse, "explain", ids[1])
        expect(told["id"] == ids[1] and told["peer"].startswith("127.0.0.1:"), told)
        expect([r["address"] for r in told["recipients"]] ==
               ["bob@example.net", "carol@example.net"], told)
        expect("no port of localhost is usable" in told["why"] and told["advice"], told)
        shown = text(posthouse, "explain", ids[1])
        expect(re.search(rf"^id: +{ids[1]}$", shown, re.M) and "no port of" in shown, shown)
        expect(re.search(r"^advice: ", shown, re.M), shown)

        for option in ((), ("--json",)):
            p = run(posthouse, *option, "cat", ids[2])
            expect(p.returncode == 0 and p.stdout.startswith("Received: "), p)
            expect(re.search(r"(?m)^begin (\w+)\n[\s\S]*^end \1$", p.stdout), p.stdout)


# --- acting --------------------------------------------------------------------

def states(posthouse):
    return {m["id"]: m["state"] for m in posthouse.ctl("queue")["messages"]}


def test_acting():
    with queue_of(4) as (sink, posthouse, ids):
        one, two, three, four = ids
        said = ask(posthouse, "hold", one)
        expect(said == {"done": "held until release", "messages": 1}, said)
        expect("messages: " in text(posthouse, "hold", "all"), "hold all")
        expect(set(states(posthouse).values()) == {"held"}, states(posthouse))
        expect(posthouse.ctl("status")["queue"]["held"] == 4, "status does not count held ones")
        why = posthouse.ctl("explain", one)["why"]
        expect("posthousectl release" in why, why)
        expect(ask(posthouse, "release", two)["messages"] == 1, "release")
        expect(states(posthouse) == {one: "held", two: "queued", three: "held", four: "held"},
               states(posthouse))
        expect(ask(posthouse, "remove", three)["messages"] == 1, "remove")
        expect(re.search(r"^done: +removed without a bounce$", text(posthouse, "remove", four),
                         re.M), "remove as text")
        expect(list(states(posthouse)) == [one, two], states(posthouse))
        refused(posthouse, 1, f"message {three} is not in the queue", "cat", three)
        told = ask(posthouse, "explain", three)
        expect((told["state"], [r["state"] for r in told["recipients"]]) ==
               ("removed", ["removed"] * 2), told)
        expect([h["event"] for h in told["history"] if h["event"] in
                ("queued", "held", "removed", "finished")] ==
               ["queued", "held", "removed", "finished"], told)

        # A held message stays when the ports are back; the other one leaves.
        expect(ask(posthouse, "flush", two)["messages"] == 1, "flush ID")
        expect(ask(posthouse, "flush")["messages"] == 2, "flush")
        expect(states(posthouse)[one] == "held", "flush released a held message")
        start = posthouse.process.mark()
        for port in sink.ports:
            sink.set(port, "listen", "open")
        expect(ask(posthouse, "probe")["done"].startswith("all ports are being probed"), "probe")
        posthouse.process.wait_line(rf"\bdelivered .*id={two}.*carol", start)
        expect(states(posthouse) == {one: "held"}, states(posthouse))
        expect(ask(posthouse, "release", "all")["messages"] == 1, "release all")
        posthouse.process.wait_line(rf"\bdelivered .*id={one}.*carol", start)
        expect(len(sink.messages()) == 2, "a removed message was sent")

        expect(ask(posthouse, "unblock")["done"].startswith("account and ports"), "unblock")
        expect(ask(posthouse, "unblock", "main")["done"].startswith("account and ports"), "unblock")
        expect(ask(posthouse, "probe", "main")["done"].startswith("the ports of the relay are"), "probe")
        for command in ("probe", "unblock", "flush"):
            expect(text(posthouse, command).startswith("done: "), command)
        done = posthouse.ctl("status")["since_start"]
        expect((done["accepted"], done["recipients"]["delivered"], done["recipients"]["removed"]) ==
               (4, 4, 4), done)
        expect(text(posthouse, "queue") == "Mail queue is empty\n", "an empty queue")
        expect(posthouse.ctl("queue")["messages"] == [], "an empty queue as JSON")

        start = posthouse.process.mark()
        expect(ask(posthouse, "reload")["done"].startswith("reload asked for"), "reload")
        posthouse.process.wait_line(r"\breloaded\b", start)
        start = posthouse.process.mark()
        expect(text(posthouse, "reload").startswith("done: "), "reload as text")
        posthouse.process.wait_line(r"\breloaded\b", start)
        expect(posthouse.ctl("remove", "all")["messages"] == 0, "an empty queue")
        posthouse.stop()


# --- messages that have left ---------------------------------------------------

def test_the_story_of_a_message_that_has_left():
    with lib.world("ctl-story") as (sink, posthouse):
        first = posthouse.submit(lib.new_token(), to=("bob@example.net", "carol@example.net"))
        posthouse.process.wait_line(rf"\bdelivered .*id={first}.*carol")
        told = ask(posthouse, "explain", first)
        expect(told["state"] == "delivered" and told["peer"].startswith("127.0.0.1:"), told)
        expect(told["attempts"] == 1, told)
        expect([(r["address"], r["state"], r["code"]) for r in told["recipients"]] ==
               [("bob@example.net", "delivered", 250), ("carol@example.net", "delivered", 250)], told)
        own = [h for h in told["history"] if h["event"] in
               ("queued", "attempt", "delivered", "finished")]
        expect([h["event"] for h in own] == ["queued", "attempt", "delivered", "delivered", "finished"],
               told)
        expect(own[1]["endpoint"] == f"localhost:{sink.ports['587']}" and
               re.search(r"; lookup \d+ ms, .*login \d+ ms, .*reply \d+ ms$", own[1]["what"]), own)
        shown = text(posthouse, "explain", "last")
        expect(re.search(rf"^id: +{first}$", shown, re.M) and "left the queue: 2 delivered" in shown,
               shown)
        files = list((posthouse.place / "state/history").iterdir())
        expect({f.stat().st_mode & 0o777 for f in files} == {0o640}, files)    # two at midnight

        # Also after a restart, and of a message that the restart had to send.
        posthouse.stop()
        posthouse.start()
        expect(ask(posthouse, "explain", first)["history"] == told["history"], "after a restart")
        expect(ask(posthouse, "explain", "last")["id"] == first, "last after a restart")
        posthouse.kill()
        posthouse.start()
        expect(ask(posthouse, "explain", first)["history"] == told["history"], "after kill -9")
        posthouse.stop()

        posthouse.settings["history"] = 0
        posthouse.write_config()
        posthouse.start()
        posthouse.process.wait_line(r"\brecovered\b")
        refused(posthouse, 1, "is not in the queue", "explain", first)
        refused(posthouse, 1, "no history is kept", "explain", "last")
        second = posthouse.submit(lib.new_token())
        posthouse.process.wait_line(rf"\bdelivered .*id={second}")
        expect(ask(posthouse, "status")["history"]["days"] == 0, "status")
        expect([f.stat().st_size for f in files] ==
               [f.stat().st_size for f in (posthouse.place / "state/history").iterdir()], "written")
        posthouse.stop()


# --- a file with mistakes ------------------------------------------------------

def test_a_broken_file_does_not_hide_the_daemon():
    """It runs on with what it has read: all that asks it has to work, with a remark."""
    with queue_of(2) as (sink, posthouse, ids):
        good = posthouse.config.read_text()
        for bad in ("lisen = [];\n" + good, good + "relays = (\n"):
            posthouse.config.write_text(bad)
            for words in (("status",), ("ports",), ("queue",), ("failover",), ("explain", ids[0]),
                          ("flush",), ("hold", ids[0]), ("release", "all"), ("probe",),
                          ("unblock",), ("cat", ids[0]), ("check",)):
                p = run(posthouse, *words)
                expect(p.returncode == 0 and p.stdout, f"{words}: {p.returncode} {p.stderr}")
                remark, *more = p.stderr.splitlines()
                expect(remark.startswith(f"posthousectl: {posthouse.config} has errors") and
                       not [m for m in more if m.startswith("posthousectl: ")], f"{words}: {p.stderr}")
            expect(list(states(posthouse)) == ids, "another queue")
        posthouse.config.write_text("relays = (\n")
        p = run(posthouse, "status")
        expect("could not be parsed, so the default directory" in p.stderr and "with -c" in p.stderr, p.stderr)


# --- a relay that is being replaced ---------------------------------------------

def test_a_reload_is_waited_for():
    """Whom the old relay leaves without a word asks the new one."""
    with lib.workplace("ctl-again") as place:
        config = place / "posthouse.conf"
        config.write_text(f'runtime_dir = "{place}";\nrelays = ( {{ host = "localhost"; }} );\n')
        listener = lib.socket.socket(lib.socket.AF_UNIX)
        listener.bind(str(place / "control.sock"))
        listener.listen(8)
        ctl = subprocess.Popen([lib.program("posthousectl"), "-c", config, "status"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with ctl, listener:
            for word in (None, b"", b"ok\nfine\n"):
                peer, _ = listener.accept()
                with peer, peer.makefile("rb") as lines:
                    if word is not None:
                        lines.readline()
                        peer.sendall(word)
            said, complaint = ctl.communicate(timeout=lib.PATIENCE)
        expect((ctl.returncode, said, complaint) == (0, "fine\n", ""), (said, complaint))


def test_reloads_under_questions():
    with queue_of(1) as (sink, posthouse, ids):
        done = threading.Event()
        failed = []

        def keep_asking(command):
            while not done.is_set():
                p = run(posthouse, command)
                if p.returncode != 0 or not p.stdout:
                    failed.append(p)

        askers = [threading.Thread(target=keep_asking, args=(c,)) for c in ("status", "queue")]
        for asker in askers:
            asker.start()
        try:
            for _ in range(3):
                start = posthouse.process.mark()
                posthouse.process.child.send_signal(signal.SIGHUP)
                posthouse.process.wait_line(r"\breloaded\b", start)
        finally:
            done.set()
            for asker in askers:
                asker.join()
        expect(not failed, failed)


# --- wrong use -----------------------------------------------------------------

def test_wrong_use():
    with queue_of(1) as (sink, posthouse, ids):
        for command in ("explain", "cat", "flush", "hold", "release", "remove"):
            refused(posthouse, 1, f"message {ABSENT} is not in the queue", command, ABSENT)
            refused(posthouse, 1, "is no message id", command, "12345")
            refused(posthouse, 1, "one message id at a time", command, ids[0], ABSENT)
        for command in ("explain", "cat"):
            refused(posthouse, 1, f"{command} needs a message id", command)
            refused(posthouse, 1, f"{command} needs a message id", command, "all")
        for command in ("hold", "release", "remove"):
            refused(posthouse, 1, f'{command} needs a message id or "all"', command)
        for command in ("status", "ports", "failover", "queue", "reload"):
            for word in (ids[0], "main", "all", "last"):
                refused(posthouse, 1, f'{command} takes no message id or other word: "{word}"', command,
                        word)
        refused(posthouse, 1, 'no relay "other"', "probe", "other")
        refused(posthouse, 1, 'no relay "other"', "unblock", "other")
        refused(posthouse, 1, "one relay at a time", "unblock", "main", "main")
        refused(posthouse, EX_USAGE, 'unknown command "frobnicate"', "frobnicate")
        refused(posthouse, EX_USAGE, 'unknown command "frobnicate"', "--json", "frobnicate")
        refused(posthouse, EX_USAGE, 'did you mean "status"', "stauts")
        refused(posthouse, 1, "--why is for ports", "--why", "587", "status")
        refused(posthouse, 1, r'no relay has a port "25"; there are main:\d+ main:\d+ main:\d+',
                "ports", "--why", "25")
        for limit in ("0", "-1", "many"):
            refused(posthouse, 64, "--limit needs a number", "--limit", limit, "queue")
        for words in ((), ("--frob", "status"), ("--limit",), ("status", ""), ("two words",),
                      ("explain", "x" * 1100)):
            refused(posthouse, EX_USAGE, "usage: |not one word|too long|unknown command", *words)
        expect(list(states(posthouse)) == ids, "a wrong command changed the queue")
        p = run(posthouse, "--help")
        expect(p.returncode == 0 and all(f"\n  {c} " in p.stdout for c in documented()), p)
        manual = (lib.TOP / "doc/posthousectl.8.in").read_text()
        for command in [*documented(), "cat"]:
            expect(f"\n.It Cm {command.split()[0]}" in manual, f"posthousectl(8) lacks {command}")
        states_of_messages = re.findall(r'return "(\w+)";', "".join(re.search(
            rf"^{function}\(.*?^}}", (lib.TOP / file).read_text(), re.M | re.S).group(0)
            for function, file in (("answer_state_word", "src/control/explain.c"),
                                   ("row_state", "src/control/row.c"))))
        expect(len(states_of_messages) == 6, states_of_messages)
        for word in states_of_messages:
            expect(f"\n.It {word}\n" in manual, f"posthousectl(8) lacks the state {word}")
        p = run(posthouse, "--version")
        expect(p.returncode == 0 and re.fullmatch(r"posthousectl \d+\.\d+\.\d+\n", p.stdout), p)

        refused(posthouse, EX_CONFIG, "cannot read /nonexistent", "-c", "/nonexistent", "status")
        posthouse.stop()
        for command in ("status", "reload"):
            refused(posthouse, EX_UNAVAILABLE, "is posthouse running", command)


# --- other users ---------------------------------------------------------------

def send_as(posthouse, uid, to):
    p = subprocess.run([posthouse.bin / "posthouse-sendmail", "-v", to], input=b"Subject: x\n\nx\n",
                       env=dict(os.environ, **posthouse.sendmail_env()), capture_output=True,
                       timeout=lib.PATIENCE, user=uid, group=uid, extra_groups=[])
    expect(p.returncode == 0, p)
    return lib.queue_id(p.stdout)


def test_users():
    """Limits, freeze, thaw and purge of one user; over TCP and by name, too."""
    own = os.getuid()
    name = pwd.getpwuid(own).pw_name
    limits = {"user_messages_day": 2, "connections_per_client": 500}
    with lib.world("users", debug=True, limits=limits) as (sink, posthouse):
        one, two, three = (posthouse.submit(lib.new_token()) for _ in range(3))
        for left in (one, two):
            posthouse.process.wait_line(rf"\bfinished id={left}")
        line = posthouse.process.wait_line("user-over-limit")
        expect(f"of user {own} is held: More than 2 messages per day" in line, line)
        def mine():
            told = ask(posthouse, "users")["users"]
            return [u for u in told if u["uid"] == own][0]

        got = mine()
        expect((got["state"], got["queued"], got["taken"], got["over"], got["messages_day"]) ==
               ("free", 1, 2, 1, 2), got)
        held = ask(posthouse, "queue")["messages"]
        expect([(m["state"], m["uid"]) for m in held] == [("held", own)], held)
        expect(ask(posthouse, "freeze", str(own))["messages"] == 0, "it is held already")
        expect("frozen" in text(posthouse, "users"), "not shown")
        expect(mine()["state"] == "frozen", mine())
        text(posthouse, "thaw", name)
        posthouse.process.wait_line(rf"\bfinished id={three}")
        text(posthouse, "freeze", name)
        posthouse.submit(lib.new_token())
        expect(ask(posthouse, "purge", str(own))["messages"] == 1, mine())
        refused(posthouse, 1, "there is no user", "thaw", "nobody-of-that-name")
        expect(mine()["queued"] == 0, mine())


def test_another_user():
    if os.getuid() != 0:
        return print("     (not root: test_another_user is skipped)")
    with queue_of(2) as (sink, posthouse, ids):
        own = [send_as(posthouse, STRANGER, f"own{i}@example.net") for i in range(2)]
        send_as(posthouse, OTHER, "other@example.net")
        got = run(posthouse, "--json", "queue", uid=STRANGER)
        expect(got.returncode == 0, got)
        listing = json.loads(got.stdout)
        as_documented("queue", listing)
        expect([m["id"] for m in listing["messages"]] == own, listing)
        expect("total" not in listing and listing["shown"] == 2, listing)
        shown = text(posthouse, "queue", uid=STRANGER)
        expect("own0@example.net" in shown and "other@" not in shown and "bob@" not in shown, shown)
        expect(posthouse.ctl("explain", own[0])["uid"] == STRANGER, "whose message is it?")
        for who in (0, lib.ORDINARY):
            whole = json.loads(run(posthouse, "--json", "queue", uid=who).stdout)
            expect(whole["total"] == whole["shown"] == 5, whole)

        # What everybody may know has no address in it.
        for command in ("status", "ports"):
            shown = text(posthouse, command, uid=STRANGER)
            expect("example.net" not in shown and "alice" not in shown, shown)
            as_documented(command, json.loads(run(posthouse, "--json", command,
                                                  uid=STRANGER).stdout))
        for command in ("explain", "cat", "flush", "hold", "release", "remove"):
            refused(posthouse, EX_NOPERM, "is for root and the daemon's user", command, own[0],
                    uid=STRANGER)
        for command in ("flush", "probe", "unblock", "reload"):
            refused(posthouse, EX_NOPERM, "is for root", command, uid=STRANGER)

        # The status socket itself refuses them, whoever asks, even root.
        sent = {c: own[0] for c in ("explain", "cat", *ACTIONS[:4])}
        for command in ("explain", "cat", *ACTIONS):
            line = " ".join(filter(None, (command, sent.get(command)))) + "\n"
            expect(answer_of(posthouse, "status.sock", line).startswith(
                f"error {command} needs the control socket"), command)
        expect(answer_of(posthouse, "status.sock", "queue --json\n").startswith("ok\n{"), "queue")
        expect(len(states(posthouse)) == 5 and "held" not in states(posthouse).values(),
               "the status socket changed the queue")


def answer_of(posthouse, name, request):
    s = lib.socket.socket(lib.socket.AF_UNIX)
    s.settimeout(lib.PATIENCE)
    with s:
        s.connect(str(posthouse.place / "run" / name))
        s.sendall(request.encode())
        return s.makefile("rb").read().decode()


if __name__ == "__main__":
    lib.run_tests(globals())

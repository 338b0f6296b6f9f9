# SPDX-License-Identifier: BSD-2-Clause
"""Real networks that break: posthouse, and beside it Postfix and nullmailer.

    netns.py [--quick] [--peers none|some|all] [--jobs N] [--write FILE] [WORD...]

--quick plays what ends within seconds, WORD the cases whose title has it; both leave
out the check that every fault this kernel can make was played. --write puts the table
into FILE.
"""

import argparse
import concurrent.futures
import datetime
import os
import pathlib
import platform
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import space  # noqa: E402
import cases  # noqa: E402
import faults  # noqa: E402
import lib  # noqa: E402
import programs  # noqa: E402


def say(text):
    print(text, flush=True)


def chosen(options):
    return [c for c in cases.CASES if (c.quick or not options.quick) and
            (not options.words or any(w in c.title for w in options.words))]


def peers_of(case, options):
    if options.peers == "none":
        return []
    return [programs.Postfix, programs.Nullmailer] if case.peers == "always" or options.peers == "all" \
        else []


class Score:
    def __init__(self):
        self.failed = 0
        self.skipped = {}
        self.results = {}       # (title, program) -> Result

    def play(self, case, kind, certs):
        begin = time.monotonic()
        try:
            result = cases.play(case, kind, certs)
        except Exception as error:      # a case fails by any of them
            self.failed += 1
            if not isinstance(error, lib.Failure):
                traceback.print_exc(file=sys.stdout)
            say(f"FAIL {case.title} ({kind.name}, {time.monotonic() - begin:.1f} s): {error}")
            return
        self.results[case.title, kind.name] = result
        say(f"ok   {case.title:42} {result.line()}")


def play_all(todo, certs, jobs):
    score = Score()
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(score.play, c, kind, certs) for c, kind in todo]:
            done.result()
    if lib.reports:
        score.failed += 1
        say("FAIL a sanitizer reports\n" + "\n".join(lib.reports))
    return score


def check_played(can, score):
    """Every fault that the kernel can make has been played with posthouse."""
    played = {c.fault for (_, name), r in score.results.items() for c in [r.case] if name == "posthouse"}
    for name, why in can.items():
        if why is not None:
            say(f"SKIP {name}: {why}")
        elif name not in played:
            score.failed += 1
            say(f"FAIL {name}: this kernel can make it, and it was not played")


# --- the table ---

def cell(r):
    if r is None:
        return "-"
    when = f"{r.first:.1f} s" if r.first is not None else \
        "waits" if r.case.fault == "login" else f"> {cases.CAP:.0f} s"
    extra = "".join(f" +{n} {what}" for n, what in ((r.uncertain, "uncertain"), (r.returned, "returned"),
                                                     (r.repeated, "repeated")) if n)
    probes = f" (+{r.probes})" if r.probes else ""
    return f"{when} / {r.wasted}{probes} / {r.lost}{extra} / {r.logins}"


def table(score, names):
    rows = ["| fault | moment | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for case in cases.CASES:
        found = [score.results.get((case.title, n)) for n in names]
        if any(found):
            rows.append(f"| {case.what()} | {case.moment} | " + " | ".join(map(cell, found)) + " |")
    return "\n".join(rows)


INTRO = """\
<!-- SPDX-License-Identifier: BSD-2-Clause -->
# Comparison

How posthouse, Postfix and nullmailer get mail out when a port of the smarthost fails: the same
three namespaces, the same smarthost, the same faults of the kernel's own making (tests/netns/README).
Written by `make check-netns NETNS_FLAGS="--peers all --write FILE"` on {date}: {versions},
Linux {kernel}, {cores} cores, {jobs} cases at a time.

Each cell: seconds until the message was there (of several: the slowest, from the fault on; > {cap:.0f} s: not
waited for any longer) / attempts wasted on the faulty ports after the fault (in brackets: probes, which carry no mail) / messages
lost / logins tried. {clear}

- **posthouse**: 587 STARTTLS, 465 TLS, 2525 STARTTLS; the second provider is a second relay.
- **Postfix**: `relayhost = [host]:587, [host]:2525`, and both of the second provider. Port 465 can't be in the list: TLS from the first
  byte is a setting of a transport, and there is no fall-back between transports.
- **nullmailer**: three remotes, 587 `--starttls`, 465 `--ssl`, 2525 `--starttls`; three more of the second provider.

All verify the certificate, insist on TLS and log in; times and retries are each program's defaults.
A message that is not there in time is still in the queue unless it is counted as lost.

{table}

| fault | what is done to the port |
|---|---|
{meanings}

"At start" the path is broken before the program runs, and one message is sent. "A minute": the same, and a message
every two seconds for {minute:.0f} s; the time is that of the slowest. "Traffic": twelve
messages before the fault, at most four of them under way, and twelve more at once behind it. "Idle": one message
arrives, then the path breaks, then six are sent at once. "Silent at": the smarthost has stopped answering at this
step of a session when the path breaks; another message follows at once. A message is uncertain when its final dot went out and no
reply came: it may have arrived, so it is listed and sent again after `queue.uncertain` (15 min). Returned: the
program gave it up at once and told the sender. For the proxy that answers everywhere the time counts from its end,
ten seconds after the program's start (with posthouse when it had named the proxy, and `posthousectl probe` was said). With a wrong password, what counts is how often it is tried within a minute.

What the peers do as they are set up here: Postfix tries the first host of its list anew for each message,
and waits 30 s for a connection that nobody answers, five minutes for a greeting. Which address family it tries
first is chance (`smtp_address_preference`): the dead one costs 30 s. nullmailer sends one message after the other,
and has no time limit of its own for a connection but that of the whole delivery (an hour); a port without
STARTTLS is a permanent failure for it. posthouse remembers which port worked, so these costs are paid once,
not for each message.
"""


def write(path, score, names, versions, jobs):
    known = {name: f.meaning for name, f in faults.all_faults().items()}
    meanings = "\n".join(f"| {name} | {meaning} |" for name, meaning in
                         {**known, **{n: what for n, (what, _) in cases.SERVERS_OWN.items()}}.items())
    told = [f"{name} in {title}: {r.clear}" for (title, name), r in score.results.items() if r.clear]
    clear = "Bytes with a login or an envelope that went out in clear: " + ("; ".join(told) or "none") + "."
    pathlib.Path(path).write_text(INTRO.format(
        date=datetime.date.today(), versions=", ".join(versions), kernel=platform.release().split("-")[0],
        cores=os.cpu_count(), jobs=jobs, clear=clear, cap=cases.CAP, minute=cases.MINUTE, table=table(score, names), meanings=meanings))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", choices=("none", "some", "all"), default="none")
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--write")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    reason = space.need()
    if reason:
        lib.skip(reason)
    with lib.workplace("netns-all") as place:
        certs = lib.make_certs(place / "certs", space.SMARTHOST, space.BACKUP)
        fetch = place if os.environ.get("POSTHOUSE_PEERS_INSTALL") == "1" else None
        kinds, missing = [programs.Posthouse], 0
        for kind in (programs.Postfix, programs.Nullmailer) if options.peers != "none" else ():
            why = kind.missing(fetch)
            if why:
                say(f"{'FAIL' if fetch else 'SKIP'} {kind.name}: {why}")
                missing += bool(fetch)
            else:
                kinds.append(kind)
        can = faults.probe_all(say, options.jobs)
        todo = [(c, k) for c in chosen(options) if can.get(c.fault) is None
                for k in [programs.Posthouse] + peers_of(c, options) if k in kinds]
        # The longest first.
        todo.sort(key=lambda t: (t[1] is programs.Posthouse and not cases.special(t[0]), t[0].quick))
        score = play_all(todo, certs, options.jobs)
        score.failed += missing     # it could have been fetched
        if not options.quick and not options.words:
            check_played(can, score)
        names = [k.name for k in kinds]
        say("\ntime / attempts wasted / lost / logins\n" + table(score, names))
        if options.write:
            write(options.write, score, names, [k.version() for k in kinds], options.jobs)
    if score.failed:
        say(f"{score.failed} failed")
    sys.exit(1 if score.failed else 0)


if __name__ == "__main__":
    main()

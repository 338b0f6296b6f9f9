# SPDX-License-Identifier: BSD-2-Clause
"""Why a message arrived twice: each repeat goes to one kill of relay and one reason.

A life of relay begins with its start and ends with its kill; the log is cut where
the supervisor saw it end. A copy that another one followed is explained only if all
of this holds:

- relay was killed between the two: they belong to different lives;
- a start in between found the mark that is written before the final dot leaves,
  and no outcome: it logged uncertain;
- the killed relay had no other result of it: no connection was lost under it;
- the reply to it did not lie unread for long;
- it was the last message of its session, and if relay had read the reply, no
  session went on after that. The mark of a later message is gathered behind the
  outcome and its dot waits for that mark (doc/spool-format.md, "Writing"), so if
  a later dot came, the outcome was written, and kill -9 must not undo it.

The reason is then how far it had come: the dot was still on its way to the
smarthost, or the reply to it on its way to relay, or relay had read the reply and
said so, but the outcome waited for the sync in progress and was not yet written.
"""

import collections
import re

DOT = "the final dot was on its way"
REPLY = "the reply was on its way, or not yet read"
OUTCOME = "the reply was read, its outcome not yet written"
REASONS = (DOT, REPLY, OUTCOME)

LONG = 10       # seconds; the sink answers at once

ENDED = re.compile(r"\brole-ended role=relay\b")
EVENT = re.compile(r"\brelay: (delivered|deferred|failed|uncertain)\b.*? id=([0-9a-f]{16}) (to|why)=")


class Life:
    """One relay process: its lines, and between which times it was killed."""

    def __init__(self, lines, kill=(None, None)):
        self.lines = lines
        self.killed, self.dead = kill       # as time.monotonic(); None: it was not
        self.delivered = {}                 # id to place in the log
        self.other = set()                  # of those with another result
        self.marked = set()                 # found at the start, before a result
        for i, line in enumerate(lines):
            m = EVENT.search(line)
            if m is None:
                continue
            event, queue_id, key = m.groups()
            if event == "delivered":
                self.delivered[queue_id] = i
            elif event == "uncertain" and key == "why":
                self.marked.add(queue_id)
            else:
                self.other.add(queue_id)


def cut(lines, times):
    """The log of one supervisor as that of times + 1 relays, each from its start on."""
    ends = [i for i, line in enumerate(lines) if ENDED.search(line)]
    if not times <= len(ends) <= times + 1:     # it may have seen the last one end, too
        raise ValueError(f"relay ended {len(ends)} times and was killed alone {times} times")
    edges = [0, *ends[:times], len(lines)]
    return [lines[a:b] for a, b in zip(edges, edges[1:])]


def lives_of(logs, kills):
    """All relays in order. logs: of each supervisor, lines and how often relay alone
    was killed; kills: of relay, alone or not, when (just before, it was dead)."""
    parts = [part for lines, times in logs for part in cut(lines, times)]
    if len(parts) != len(kills) + 1:
        raise ValueError(f"{len(parts)} relays and {len(kills)} kills")
    return [Life(part, kill) for part, kill in zip(parts, [*kills, (None, None)])]


def life_at(lives, when):
    """Which one a session belongs to that began then."""
    for i, life in enumerate(lives):
        if life.dead is None or when < life.dead:
            return i
    raise ValueError("later than the last")


def id_of(received):
    """Queue id, as our own Received line has it: the topmost."""
    m = re.search(r"\bid ([0-9a-f]{16});", received.header("Received") or "")
    if not m:
        raise ValueError(f"{received.name} has no id")
    return m.group(1)


class Sessions:
    """Which messages were the last of their sessions, and what is sure by that."""

    def __init__(self, received, lives):
        self.lives = lives
        self.end = {}       # session to number of its last message
        for m in received:
            key = m.port, m.session
            self.end[key] = max(m.number, self.end.get(key, 0))
        self.written = [-1] * len(lives)    # of what is delivered up to there, in each log
        for m in received:
            i = life_at(lives, m.began)
            if not self.is_last(m):
                self.written[i] = max(self.written[i], lives[i].delivered.get(id_of(m), -1))

    def is_last(self, m):
        return self.end[m.port, m.session] == m.number

    def is_written(self, m):
        """Its outcome was, for a later dot left."""
        i = life_at(self.lives, m.began)
        return not self.is_last(m) or \
            0 <= self.lives[i].delivered.get(id_of(m), -1) <= self.written[i]


class Repeat:
    """A copy that another one followed."""

    def __init__(self, first, second, sessions):
        lives = sessions.lives
        self.first, self.second = first, second
        self.id = id_of(first)
        self.life, self.next = (life_at(lives, m.began) for m in (first, second))
        self.reason, self.why_not = self._judge(sessions, lives[self.life],
                                                lives[self.life + 1:self.next + 1])

    def _judge(self, sessions, life, later):
        if not later:
            return None, "relay was not killed between the two"
        if not any(self.id in x.marked for x in later):
            return None, "no start found the mark that is written before the dot"
        if self.id in life.other:
            return None, "it had another result before the kill"
        if sessions.is_written(self.first):
            return None, "a later dot left after its outcome, so that was written"
        if self.id in life.delivered:
            return OUTCOME, None
        if self.before_kill(sessions.lives) > LONG:
            return None, "the reply to its dot was not read for long"
        return (DOT if self.first.at >= life.killed else REPLY), None

    def before_kill(self, lives):
        """Seconds from the sink's reading of the dot to the kill; below 0: it came after."""
        return lives[self.life].killed - self.first.at

    def trace(self, lives):
        said = [f"message {self.id}, {self.first.header('X-Token')}: {self.why_not or self.reason}"]
        for m in (self.first, self.second):
            said.append(f"  sink: {m.name} port {m.port} session {m.session} message {m.number}, "
                        f"session began {m.began:.6f}, dot at {m.at:.6f}")
        for i, life in enumerate(lives):
            said += [f"  relay {i}: {line}" for line in life.lines if self.id in line]
            if self.life <= i <= self.next and life.killed is not None:
                said.append(f"  relay {i} was killed at {life.killed:.6f}, dead at {life.dead:.6f}")
        return "\n".join(said)


def find(received, lives):
    """All repeats among what the sink received."""
    sessions = Sessions(received, lives)
    copies = collections.defaultdict(list)
    for m in sorted(received, key=lambda m: m.at):
        copies[id_of(m)].append(m)
    return [Repeat(first, second, sessions)
            for same in copies.values() for first, second in zip(same, same[1:])]


def table(repeats, lives):
    """N repeats: how many of them for each reason, and how long before the kill."""
    rows = [f"{len(repeats)} repeats by {len(lives) - 1} kills of relay:"]
    for reason in REASONS:
        some = [r.before_kill(lives) * 1000 for r in repeats if r.reason == reason]
        span = f" (dot read {min(some):.1f} to {max(some):.1f} ms before the kill)" if some else ""
        rows.append(f"  {len(some):4} {reason}{span}")
    rows.append(f"  {sum(r.reason is None for r in repeats):4} unexplained")
    return "\n".join(rows)

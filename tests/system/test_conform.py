# SPDX-License-Identifier: BSD-2-Clause
"""The tables of tests/conform against the real daemon: one for all dialogues, each of them
with a reply waited for at every step, and again in one piece with all that came before."""

import re
import socket

import lib
from lib import Failure

HEADER = b"Date: x\r\nMessage-ID: <y@example.org>\r\n\r\n"
LIMITS = {"message_size": "64K", "recipients": 100, "connections_per_client": 500}
ESCAPES = {"r": b"\r", "n": b"\n", "0": b"\0", "t": b"\t"}


def closing(text):
    """Where the bracket that was opened before text is closed."""
    depth = 1
    for m in re.finditer(r"%\{|\}", text):
        depth += 1 if m.group() == "%{" else -1
        if depth == 0:
            return m.start()
    raise Failure(f"not closed: {text!r}")


def expand(text, number=None):
    """The bytes of a column."""
    out, at = [], 0
    while at < len(text):
        rest = text[at + 1:]
        if text[at] == "\\" and rest[:1] == "x":
            out.append(bytes([int(rest[1:3], 16)]))
            at += 4
        elif text[at] == "\\":
            out.append(ESCAPES.get(rest[0], rest[0].encode()))
            at += 2
        elif text[at] == "%" and rest[:1] == "n" and number:
            out.append(b"%d" % number)
            at += 2
        elif text[at] == "%" and rest[:1] == "{":
            inner = rest[1:1 + closing(rest[1:])]
            times, _, body = inner.partition(" ")
            out += [expand(body, k + 1) for k in range(int(times))]
            at += 3 + len(inner)
        else:
            out.append(text[at].encode())
            at += 1
    return b"".join(out)


def says(column):
    return expand(column[:-2]) if column.endswith("\\c") else expand(column) + b"\r\n"


def replies(column):
    text = expand(column.removesuffix("\\c")).decode()
    return [r for r in text.split(", ") if r]


class Step:
    """How a state is reached, or what is said in it."""

    def __init__(self, columns):
        self.base = columns[0] if len(columns) > 3 else None
        self.says, self.replies = says(columns[-3]), replies(columns[-2])
        self.shown = columns[-1]


class Row:
    def __init__(self, at, states, said, reply, after, stored="", note=""):
        self.at, self.states, self.after, self.stored, self.note = at, states.split(), after, stored, note
        self.says, self.replies = says(said), replies(reply)


def read_tables():
    """Rows without a condition, and the steps by kind and name."""
    rows, steps, when = [], {"state": {}, "shown": {}, "finish": {}}, False
    for path in sorted((lib.TOP / "tests/conform").glob("*.txt")):
        for number, line in enumerate(path.read_text().split("\n"), 1):
            word, _, rest = line.partition(" ")
            if not line or line.startswith("#"):
                continue
            if word in ("clause", "when"):
                when = word == "when"
                continue
            columns = [c.strip() for c in re.split(r" \|", line)]
            if word in steps:
                name, *columns = [c.strip() for c in re.split(r" \|", rest)]
                steps[word][name] = Step(columns if word == "state" else [*columns, "", ""][:3])
            elif not when:
                rows.append(Row(f"{path.name}:{number}", *columns))
    return rows, steps


ROWS, STEPS = read_tables()


def way_to(name):
    """The steps that lead to a state."""
    step = STEPS["state"][name]
    return [*(way_to(step.base) if step.base != "-" else []), step]


class Talk:
    """One connection; what it said wrong is kept for the message of the failure."""

    def __init__(self, posthouse, row, how):
        self.row, self.how = row, how
        self.socket = socket.create_connection(("127.0.0.1", posthouse.port.number), lib.PATIENCE)
        self.lines = self.socket.makefile("rb")
        self.ids = []

    def reply(self):
        line = self.lines.readline()
        while line[3:4] == b"-":
            line = self.lines.readline()
        if m := re.match(rb"250 2\.0\.0 Ok: queued as ([0-9a-f]{16})\r\n", line):
            self.ids.append(m.group(1).decode())
        m = re.match(rb"(\d{3})( \d\.\d{1,3}\.\d{1,3})? ", line)
        return (m.group(1) + (m.group(2) or b"")).decode() if m else repr(line)

    def wants(self, wanted):
        got = [self.reply() for _ in wanted]
        if got != wanted:
            raise Failure(f"{self.row.at} ({self.how}): got {got}, wanted {wanted}")

    def do(self, step):
        self.socket.sendall(step.says)
        self.wants(step.replies)

    def ends(self):
        try:
            rest = self.lines.read()
        except ConnectionResetError:      # what was not read of us: also an end
            rest = b""
        if rest:
            raise Failure(f"{self.row.at} ({self.how}): it goes on with {rest[:200]!r}")

    def close(self):
        self.lines.close()
        self.socket.close()


def play(posthouse, row, state, pipelined):
    """Returns the ids of the messages; what the row says is stored is the last."""
    name = state.rstrip("!")
    after = STEPS["state"][name].shown if row.after == "same" else row.after
    way = way_to(name)
    talk = Talk(posthouse, row, f"{name}, {'pipelined' if pipelined else 'waiting'}")
    talk.wants(["220"])
    if pipelined:
        talk.socket.sendall(b"".join(s.says for s in way) + row.says)
        talk.wants([r for s in way for r in s.replies])
    else:
        for step in way:
            talk.do(step)
        talk.socket.sendall(row.says)
    talk.wants(row.replies)
    if after == "closed":
        talk.ends()
    elif row.stored and after != "data":
        talk.do(STEPS["finish"][after])
    else:
        talk.do(STEPS["shown"][after])
    talk.close()
    if row.stored and not talk.ids:
        raise Failure(f"{row.at}: {talk.how}: nothing was stored")
    return talk.ids


def cat(posthouse, queue_id):
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(lib.PATIENCE)
        control.connect(str(posthouse.place / "run/control.sock"))
        control.sendall(f"cat {queue_id}\n".encode())
        answer = control.makefile("rb").read()
    return answer.partition(b"\n")[2]


def stored_as(row, posthouse, message):
    """What the row says of the message, and what it is."""
    kind, _, value = row.stored.partition(" ")
    if kind == "text":
        text = cat(posthouse, message["id"])
        return HEADER + expand(value), text[text.find(HEADER):]
    want = expand(value).decode()
    return (want or "<>", message["from"]) if kind == "from" else (want, ", ".join(message["recipients"]))


def test_tables():
    with lib.world("conform", before=lib.Sink.refuse_all, hostname="host.example",
                   limits=LIMITS) as (_, posthouse):
        ids, last, count = set(), {}, 0
        for row in ROWS:
            for state in row.states:
                for pipelined in (False, True):
                    told = play(posthouse, row, state, pipelined)
                    ids.update(told)
                    if row.stored:
                        last[told[-1]] = row
                    count += 1
        queue = posthouse.ctl("queue", "--limit", "100000")["messages"]
        if {m["id"] for m in queue} != ids:
            raise Failure(f"{len(queue)} messages are stored, {len(ids)} were acknowledged")
        for message in queue:
            if row := last.get(message["id"]):
                want, got = stored_as(row, posthouse, message)
                if want != got:
                    raise Failure(f"{row.at}: stored is {got[:300]!r}, not {want[:300]!r}")
        print(f"{len(ROWS)} rows, {count} dialogues, {len(queue)} messages, {len(last)} of them looked at")


if __name__ == "__main__":
    lib.run_tests(globals())

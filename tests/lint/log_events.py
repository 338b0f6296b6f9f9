# SPDX-License-Identifier: BSD-2-Clause
"""doc/log.md lists every event that the code can log, with its level, and no other.

The event is an argument of log_begin() or log_simple(): words in quotes, a
variable that is set from some, a parameter whose callers pass some, or a
function that returns some. Anything else is complained about.
"""

import re

import tree

CALL = re.compile(r"\b(log_begin|log_simple)\(")
WORD = re.compile(r'"([a-z][a-z-]*)"')
LEVEL = re.compile(r"\bLEVEL_([A-Z]+)\b")
ROW = re.compile(r"^\| (`.*?`) \| ([a-z, ]+) \|", re.M)
NAMES = {"critical": "CRIT"}    # of levels, where the document spells them out


def arguments(code, at):
    """What stands between the parenthesis before at and its partner, cut at the commas."""
    depth, begin, found, quoted = 1, at, [], False
    for i in range(at, len(code)):
        c = code[i]
        if c == '"' and code[i - 1] != "\\":
            quoted = not quoted
        elif quoted:
            continue
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        if not quoted and (depth == 0 or (c == "," and depth == 1)):
            found.append(code[begin:i].strip())
            begin = i + 1
            if depth == 0:
                return found
    return []


def function_body(code, name):
    """From a function's name at the start of a line to its closing brace."""
    m = re.search(rf"^{name}\(.*?^}}", code, re.M | re.S)
    return m.group(0) if m else ""


def enclosing(code, at):
    """Name and parameters of the function around at."""
    heads = list(re.finditer(r"^(\w+)\(", code[:at], re.M))
    return (heads[-1].group(1), arguments(code, heads[-1].end())) if heads else ("", [])


def words_of(expression, code, at, files):
    found = set(WORD.findall(expression))
    if found:
        return found
    call = re.match(r"(\w+)\(", expression)
    if call:
        for other in files.values():
            found |= set(WORD.findall(function_body(other, call.group(1))))
        return found
    function, parameters = enclosing(code, at)
    for position, parameter in enumerate(parameters):
        if re.search(rf"\b{expression}$", parameter):
            for m in re.finditer(rf"\b{function}\(", code):
                passed = arguments(code, m.end())
                if position < len(passed):
                    found |= set(WORD.findall(passed[position]))
    body = function_body(code, function)
    for m in re.finditer(rf"\b{re.escape(expression)} = ([^;]*);", body):
        found |= set(WORD.findall(m.group(1)))
    return found


def logged(files):
    """Word -> levels, as far as a call names one alone; and complaints."""
    events, complaints = {}, []
    for name, code in sorted(files.items()):
        for m in CALL.finditer(code):
            given = arguments(code, m.end())
            place = 3 if m.group(1) == "log_begin" else 2
            if len(given) <= place:
                continue    # not a call
            words = words_of(given[place], code, m.start(), files)
            if not words:
                line = code.count("\n", 0, m.start()) + 1
                complaints.append(f"{name}:{line}: can't tell which event {given[place]} is")
            level = LEVEL.findall(given[place - 1])
            for w in words:    # where two levels stand, which is whose is not told
                events.setdefault(w, set()).update(level if len(level) == 1 else ())
    return events, complaints


def documented(text):
    events = {}
    for names, levels in ROW.findall(text):
        levels = {NAMES.get(w, w.upper()) for w in levels.split(", ")}
        for w in re.findall(r"`([^`]*)`", names):
            events[w] = events.get(w, set()) | levels
    return events


def check(files, text):
    said, complaints = logged(files)
    listed = documented(text)
    for w in sorted(said.keys() - listed.keys()):
        complaints.append(f"doc/log.md: lacks {w}")
    for w in sorted(listed.keys() - said.keys()):
        complaints.append(f"doc/log.md: {w} is logged nowhere")
    for w in sorted(said.keys() & listed.keys()):
        for level in sorted(said[w] - listed[w]):
            complaints.append(f"doc/log.md: {w} is also logged as {level.lower()}")
    return complaints


def self_test():
    code = {"src/a.c": '''
static void
tell(struct log *log, const char *event)
{
	log_begin(&l, log, LEVEL_INFO, event);
}

static void
f(void)
{
	const char *how = x ? "set-a" :
	    "set-b";

	log_simple(log, bad ? LEVEL_ERROR : LEVEL_INFO, bad ? "either" : "or", "a (b, %s", c);
	log_begin(&l, log, LEVEL_INFO, how);
	log_begin(&l, log, level_of(k), kind_word(k));
	tell(log, ok ? "passed-a" : "passed-b");
}
''', "src/b.c": 'const char *\nkind_word(int k)\n{\n\treturn k ? "kind-a" : "kind-b";\n}\n'}
    rows = "".join(f"| `{w}` | info | | |\n" for w in
                   ("set-a", "passed-a", "passed-b", "kind-a")) + \
        "| `either`, `or` | info, error | | |\n| `set-b`, `kind-b` | info | | |\n"
    assert check(code, rows) == [], check(code, rows)
    assert check(code, rows.replace("| `set-a` | info | | |\n", "")) == ["doc/log.md: lacks set-a"]
    assert check(code, rows + "| `more` | info | | |\n") == ["doc/log.md: more is logged nowhere"]
    assert check(code, rows.replace("`set-b`, `kind-b` | info", "`set-b`, `kind-b` | error")) == \
        ["doc/log.md: set-b is also logged as info"]
    assert check({"src/c.c": "f(void)\n{\n\tlog_simple(log, LEVEL_INFO, table[i], \"\");\n}\n"}, "")


self_test()
tree.finish(check({n: tree.text(n) for n in tree.tracked()
                   if n.startswith("src/") and n.endswith(".c") and n != "src/sys/log.c"},
                  tree.text("doc/log.md")))

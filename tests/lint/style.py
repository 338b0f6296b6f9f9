# SPDX-License-Identifier: BSD-2-Clause
"""What every file carries and what none may contain."""

import re

import tree

MARK = "SPDX-License-" + "Identifier: BSD-2-Clause"
# Whole files of test input, and the licence itself.
NO_MARK = re.compile(r"^COPYING$|/corpus/|/data/|\.(pem|eml|golden)$")

SOURCE = re.compile(r"\.(c|h)$")
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(work|root|home)/\w")
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
SLEEP = re.compile(r"\b(u|nano|clock_nano)?sleep\s*\(")
TYPEDEF = re.compile(r"^\s*typedef\s+(struct|enum|union)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<][^">]+[">])', re.M)
# Also poisoned by base/banned.h, which programs in tests need not include.
BANNED = re.compile(r"\b(strcpy|strcat|strncpy|strncat|strtok|sprintf|vsprintf|gets|atoi|atol|"
                    r"alloca|gmtime|localtime|ctime|system|popen)\s*\(")
COMMENT = re.compile(r"/\*.*?\*/", re.S)


def blank_comments(text):
    return COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def includes_of(name, text, files):
    """The order rule of .c files in src/: own header first, base/banned.h last."""
    found = INCLUDE.findall(text)
    if not found:
        return
    own = name[len("src/"):-2] + ".h"
    if "src/" + own in files and found[0] != f'"{own}"':
        yield f"{name}: its own header comes first"
    if found[-1] != '"base/banned.h"' and not name.startswith("src/sendmail/"):
        yield f"{name}: base/banned.h is the last include"


def complaints_of(name, text, files):
    if MARK not in text and not NO_MARK.search(name):
        yield f"{name}: no line {MARK}"
    source = bool(SOURCE.search(name))
    code = blank_comments(text).split("\n") if source else None
    for number, line in enumerate(text.split("\n"), 1):
        at = f"{name}:{number}"
        if NO_MARK.search(name):
            continue
        if MACHINE_PATH.search(line) and not name.startswith("tests/lint/"):
            yield f"{at}: path of a build machine"
        if UNFINISHED.search(line):
            yield f"{at}: unfinished"
        if line.endswith((" ", "\t", "\r")) and not name.endswith(".md"):
            yield f"{at}: white space at the end"
        if name.startswith("tests/") and not name.startswith("tests/lint/") and SLEEP.search(line):
            yield f"{at}: a test waits for events, not for time"
        if source and BANNED.search(code[number - 1]):
            yield f"{at}: banned call"
        if source and TYPEDEF.search(code[number - 1]):
            yield f"{at}: no typedef of a structure"
    if name.startswith("src/") and name.endswith(".c"):
        yield from includes_of(name, text, files)


def self_test():
    ok = f"/* {MARK} */\n"
    assert not list(complaints_of("src/base/a.h", ok, set()))

    def bad(name, text, word):
        found = list(complaints_of(name, ok + text, {"src/base/a.h"}))
        assert any(word in c for c in found), (name, text, found)

    assert list(complaints_of("src/base/a.h", "int x;\n", set()))
    bad("src/base/a.h", "see /wo" + "rk/x\n", "build machine")
    bad("tests/a.py", "time.sle" + "ep(1)\n", "waits for events")
    bad("src/base/a.h", "x = sprintf (y);\n", "banned")
    bad("src/base/a.h", "typedef struct x y;\n", "typedef")
    bad("src/base/a.h", "/* TO" + "DO */\n", "unfinished")
    bad("src/base/a.h", "int x; \n", "white space")
    bad("src/base/a.c", '#include <a.h>\n#include "base/banned.h"\n', "own header")
    bad("src/base/a.c", '#include "base/a.h"\n#include <a.h>\n', "last include")
    assert not list(complaints_of("src/base/b.c", ok + "/* no sprintf(3) here */\n", set()))


self_test()
names = tree.tracked()
found = []
for n in names:
    if n.startswith(".git/"):
        continue
    found += complaints_of(n, tree.text(n), set(names))
tree.finish(found)

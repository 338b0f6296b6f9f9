# SPDX-License-Identifier: BSD-2-Clause
"""Each lesson of doc/lessons.md names tests, and what it names is there."""

import re

import tree

TEST = re.compile(r"([\w./-]+): `([^`]+)`$")


def rows(text):
    """Number, lesson and tests of each row of the tables."""
    for number, line in enumerate(text.split("\n"), 1):
        cells = [c.strip() for c in line.split("|")]
        if len(cells) > 2 and cells[1] != "lesson" and set(cells[1]) != {"-"}:
            yield number, cells[1], cells[2:-1]


def check(document, text, files):
    """files: name -> its text."""
    found = 0
    for number, lesson, tests in rows(text):
        at = f"{document}:{number}"
        found += 1
        if len(tests) != 1 or not tests[0] or not lesson:
            yield f"{at}: a lesson and its tests, no more"
            continue
        for test in tests[0].split("; "):
            m = TEST.match(test)
            if not m:
                yield f"{at}: \"{test}\" is not FILE: `NAME`"
            elif m.group(1) not in files:
                yield f"{at}: there is no {m.group(1)}"
            elif not re.search(rf"(?<!\w){re.escape(m.group(2))}(?!\w)", files[m.group(1)]):
                yield f"{at}: {m.group(1)} has no {m.group(2)}"
    if not found:
        yield f"{document}: no lessons"


def self_test():
    files = {"tests/a.c": "static void\ntest_one(void)\n"}
    head = "| lesson | tests |\n|---|---|\n"

    def said(row):
        return list(check("d", head + row, files))

    assert not said("| one | tests/a.c: `test_one` |")
    assert said("| one | tests/a.c: `test_on` |") == ["d:3: tests/a.c has no test_on"]
    assert said("| one | tests/a.c: `test_one`; tests/b.c: `x` |") == ["d:3: there is no tests/b.c"]
    assert said("| one | |") == ["d:3: a lesson and its tests, no more"]
    assert said("| one | by hand |") == ["d:3: \"by hand\" is not FILE: `NAME`"]
    assert said("") == ["d: no lessons"]


self_test()
names = [n for n in tree.tracked() if n.startswith("tests/")]
tree.finish(list(check("doc/lessons.md", tree.text("doc/lessons.md"), {n: tree.text(n) for n in names})))

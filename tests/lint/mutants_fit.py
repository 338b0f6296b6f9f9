# SPDX-License-Identifier: BSD-2-Clause
"""The lists of mutants fit the code: each text to replace is there once."""

import os
import sys

import tree

sys.path.insert(0, os.path.join(tree.TOP, "tests/mutants"))
import mutants  # noqa: E402


def self_test():
    good = "# c\nfile: a.c\nfind: x\nreplace: y\ntest: t\n\nfile: b.c\nfind: x\nreplace:\ntest: t\n"
    some, bad = mutants.parse("l", good)
    assert len(some) == 2 and not bad and some[1].replace == "" and some[1].where == "l:7"
    assert mutants.parse("l", "file: a.c\nfind: x\n")[1] == ["l:1: lacks replace, test"]
    assert mutants.parse("l", "what\n")[1]

    rows = "file: a.c\neach: ^.(\\w),$\nwords: a b\nbut: 3\ntest: t u\n"
    (each,), bad = mutants.parse("l", rows)
    text = "1a,\n2b,\n3a,\n"
    found, complaints = each.expand(text)
    assert not bad and not complaints and [m.apply(text) for m in found] == \
        ["1b,\n2b,\n3a,\n", "1a,\n2a,\n3a,\n"]
    assert not list(mutants.check(found[0], lambda name: text, "u t"))
    assert each.expand("1c,\n")[1] and each.expand("")[1]

    def complain(text, makefiles="t"):
        return list(mutants.check(some[0], lambda name: text, makefiles))

    assert not complain("a x b")
    assert complain("xx") and complain("") and complain(None) and complain("x", "other")


self_test()
tree.finish(mutants.load(tree.TOP)[1])

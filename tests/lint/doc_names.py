# SPDX-License-Identifier: BSD-2-Clause
"""What the documents say is in the tree is there.

In doc/ and the READMEs of src/: src/..., tests/..., etc/...; and in
doc/architecture.md also a layer and a module, like `smtp/server`. A word in
capitals, like LAYER, stands for something else.
"""

import os
import re

import tree

PATH = re.compile(r"(?<![\w/])((?:src|tests|etc)/[A-Za-z0-9_/.-]*[A-Za-z0-9_])")
MODULE = re.compile(r"`([a-z]+/[a-z_]+(?:\.[ch])?)`")


def is_there(name, names):
    return any(n == name or n.startswith((name + "/", name + ".")) for n in names)


def check(document, text, names):
    for number, line in enumerate(text.split("\n"), 1):
        wanted = PATH.findall(line)
        if os.path.basename(document) == "architecture.md":
            wanted += ["src/" + m for m in MODULE.findall(line)
                       if not m.startswith(("src/", "tests/", "doc/", "etc/"))]
        wanted = [w for w in wanted if not re.search(r"/[A-Z]+$", w)]
        for w in wanted:
            if not is_there(w, names):
                yield f"{document}:{number}: there is no {w}"


def self_test():
    names = ["src/smtp/server.c", "etc/a.conf.in"]
    good = "`smtp/server` `smtp/server.c` src/smtp etc/a.conf, tests/unit/LAYER."
    assert not list(check("doc/architecture.md", good, names))
    assert list(check("doc/architecture.md", "`smtp/client`", names)) == \
        ["doc/architecture.md:1: there is no src/smtp/client"]
    assert list(check("README", "see\ntests/c.md", names)) == ["README:2: there is no tests/c.md"]


self_test()
files = tree.tracked()
tree.finish([c for d in files
             if d.startswith("doc/") or (d.startswith("src/") and d.endswith("/README"))
             for c in check(d, tree.text(d), files)])

# SPDX-License-Identifier: BSD-2-Clause
"""Every include of a project header is allowed by the folder's README.

Each src/<layer>/README has a line "May include: a, b". The programs in
src/*.c wire everything and may include all of it.
"""

import re

import tree

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
ALLOWED = re.compile(r"^May include: *([a-z, ]+?)\.?$", re.M)


def allowed_by(readme):
    found = ALLOWED.findall(readme)
    if len(found) != 1:
        return None
    return {w.strip() for w in found[0].split(",")}


def check(files):
    """files: name -> text, of src/. Returns complaints."""
    complaints = []
    layers = {n.split("/")[1] for n in files if n.count("/") >= 2}
    allowed = {}
    for layer in sorted(layers):
        readme = f"src/{layer}/README"
        if readme not in files:
            complaints.append(f"{readme}: missing")
            continue
        words = allowed_by(files[readme])
        if words is None:
            complaints.append(f'{readme}: needs one line "May include: ..."')
            continue
        for w in sorted(words - layers - {"twin"}):
            complaints.append(f"{readme}: no such layer: {w}")
        allowed[layer] = words
    for name, content in sorted(files.items()):
        if not name.endswith((".c", ".h")):
            continue
        layer = name.split("/")[1] if name.count("/") >= 2 else None
        for number, line in enumerate(content.split("\n"), 1):
            m = INCLUDE.match(line)
            if not m:
                continue
            target = m.group(1)
            if "src/" + target not in files and target != "config.h":
                complaints.append(f"{name}:{number}: {target} is not in src/")
            elif layer in allowed and target.split("/")[0] not in allowed[layer]:
                complaints.append(f"{name}:{number}: {layer} may not include {target}")
    return complaints


def self_test():
    files = {
        "src/low/README": "low\n\nMay include: low\n",
        "src/low/a.h": "",
        "src/high/README": "high\n\nMay include: low, high\n",
        "src/high/b.h": '#include "low/a.h"\n',
        "src/main.c": '#include "low/a.h"\n#include "high/b.h"\n',
    }
    assert check(files) == []
    upward = dict(files, **{"src/low/a.c": '#include "high/b.h"\n'})
    assert check(upward) == ["src/low/a.c:1: low may not include high/b.h"]
    absent = dict(files, **{"src/low/a.c": '#include "low/x.h"\n'})
    assert check(absent) == ["src/low/a.c:1: low/x.h is not in src/"]
    bare = {k: v for k, v in files.items() if k != "src/low/README"}
    assert "src/low/README: missing" in check(bare)


self_test()
tree.finish(check({n: tree.text(n) for n in tree.tracked() if n.startswith("src/")}))

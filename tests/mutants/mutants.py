# SPDX-License-Identifier: BSD-2-Clause
"""The lists of mutants, tests/mutants/*.txt: parsed and checked."""

import dataclasses
import pathlib

KEYS = ("file", "find", "replace", "test")


@dataclasses.dataclass(frozen=True)
class Mutant:
    where: str      # "spool.txt:12"
    file: str
    find: str
    replace: str
    test: str

    def apply(self, text):
        return text.replace(self.find, self.replace)


def parse(name, text):
    """The mutants of one list, and complaints."""
    mutants, complaints = [], []
    block, begin = {}, 0

    def end():
        if not block:
            return
        lacking = [k for k in KEYS if k not in block]
        if lacking:
            complaints.append(f"{name}:{begin}: lacks {', '.join(lacking)}")
        else:
            mutants.append(Mutant(f"{name}:{begin}", **block))
        block.clear()

    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#"):
            continue
        if not line.strip():
            end()
            continue
        key, colon, value = line.partition(":")
        if not colon or key not in KEYS or key in block:
            complaints.append(f"{name}:{number}: not one of {', '.join(KEYS)}: {line!r}")
            continue
        if not block:
            begin = number
        block[key] = value[1:] if value.startswith(" ") else value
    end()
    return mutants, complaints


def check(mutant, read, makefiles):
    """Complaints about one mutant; read(name) gives a file's text or None."""
    text = read(mutant.file)
    if text is None:
        yield f"{mutant.where}: there is no {mutant.file}"
        return
    n = text.count(mutant.find) if mutant.find else 0
    if n != 1:
        yield f"{mutant.where}: found {n} times in {mutant.file}: {mutant.find}"
    if mutant.find == mutant.replace:
        yield f"{mutant.where}: changes nothing"
    if mutant.test not in makefiles.split():
        yield f"{mutant.where}: no test {mutant.test}"


def load(top):
    """All mutants of the tree at top, and complaints."""
    top = pathlib.Path(top)
    mutants, complaints = [], []
    makefiles = " ".join(p.read_text() for p in sorted(top.glob("tests/**/Makemodule.am")))

    def read(name):
        path = top / name
        return path.read_text() if path.is_file() else None

    for path in sorted(top.glob("tests/mutants/*.txt")):
        some, bad = parse(path.name, path.read_text())
        mutants += some
        complaints += bad
        for m in some:
            complaints += check(m, read, makefiles)
    return mutants, complaints

# SPDX-License-Identifier: BSD-2-Clause
"""The lists of mutants, tests/mutants/*.txt: parsed and checked."""

import dataclasses
import pathlib
import re

KEYS = ("file", "find", "replace", "test")
EACH_KEYS = ("file", "each", "words", "test")


@dataclasses.dataclass(frozen=True)
class Mutant:
    where: str      # "spool.txt:12"
    file: str
    find: str
    replace: str
    test: str       # or several: one of them must fail
    at: int = None  # its place in the file, where the text alone does not tell

    def apply(self, text):
        if self.at is None:
            return text.replace(self.find, self.replace)
        return text[:self.at] + self.replace + text[self.at + len(self.find):]


@dataclasses.dataclass(frozen=True)
class Each:
    """One mutant for each place that the expression fits: its group becomes the next of the words."""
    where: str
    file: str
    each: str
    words: str      # NOTHING: the group is taken away
    test: str
    but: str = ""   # an expression: lines that have it are left alone

    def expand(self, text):
        """Mutants, and complaints."""
        found, bad = [], []
        words = self.words.split()
        for m in re.finditer(self.each, text, re.M):
            begin, end = text.rfind("\n", 0, m.start(1)) + 1, text.find("\n", m.end(1))
            if self.but and re.search(self.but, text[begin:end]):
                continue
            old = m.group(1)
            if words == ["NOTHING"]:
                new = ""
            elif len(words) == 1:
                new = words[0]
            elif old in words:
                new = words[(words.index(old) + 1) % len(words)]
            else:
                bad.append(f"{self.where}: {old} is none of the words")
                continue
            line = text.count("\n", 0, m.start(1)) + 1
            found.append(Mutant(f"{self.where} ({self.file}:{line})", self.file, old, new, self.test,
                                m.start(1)))
        if not found and not bad:
            bad.append(f"{self.where}: fits nothing in {self.file}")
        return found, bad


def parse(name, text):
    """The mutants of one list, some of them an Each, and complaints."""
    mutants, complaints = [], []
    block, begin = {}, 0

    def end():
        if not block:
            return
        kind, keys = (Each, EACH_KEYS) if "each" in block else (Mutant, KEYS)
        lacking = [k for k in keys if k not in block]
        if lacking:
            complaints.append(f"{name}:{begin}: lacks {', '.join(lacking)}")
        else:
            mutants.append(kind(f"{name}:{begin}", **block))
        block.clear()

    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#"):
            continue
        if not line.strip():
            end()
            continue
        key, colon, value = line.partition(":")
        known = (*EACH_KEYS, "but") if "each" in block else KEYS if "find" in block else (*KEYS, "each")
        if not colon or key not in known or key in block:
            complaints.append(f"{name}:{number}: not one of {', '.join(known)}: {line!r}")
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
    if n != 1 and mutant.at is None:
        yield f"{mutant.where}: found {n} times in {mutant.file}: {mutant.find}"
    if mutant.find == mutant.replace:
        yield f"{mutant.where}: changes nothing"
    for test in set(mutant.test.split() or [""]) - set(makefiles.split()):
        yield f"{mutant.where}: no test {test}"


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
        complaints += bad
        for one in some:
            expanded, bad = one.expand(read(one.file) or "") if isinstance(one, Each) else ([one], [])
            mutants += expanded
            complaints += bad
            for m in expanded:
                complaints += check(m, read, makefiles)
    return mutants, complaints

# SPDX-License-Identifier: BSD-2-Clause
"""The files of the source tree, for the lints."""

import os
import subprocess
import sys

TOP = os.environ.get("top_srcdir", ".")

# What autoreconf makes; none of it is ours.
GENERATED = {
    "aclocal.m4", "configure", "config.h.in", "Makefile.in", "config.h", "config.log",
    "config.status", "Makefile", "stamp-h1", "libtool",
}
GENERATED_DIRS = {"autom4te.cache", "build-aux", "_build", "_inst", ".deps", "__pycache__", ".git"}
BUILT = (".o", ".a", ".log", ".trs", ".dirstamp", "~")


def tracked():
    """Names relative to the top: git's list, or in a distribution all that is not generated."""
    if os.path.exists(os.path.join(TOP, ".git")):
        try:
            out = subprocess.run(
                ["git", "-c", "safe.directory=*", "-C", TOP, "ls-files", "-z"],
                check=True, capture_output=True).stdout
            names = [n for n in out.decode().split("\0") if n]
            return sorted(n for n in names if os.path.isfile(os.path.join(TOP, n)))
        except (OSError, subprocess.CalledProcessError):
            pass
    names = []
    for folder, dirs, files in os.walk(TOP):
        dirs[:] = [d for d in dirs if d not in GENERATED_DIRS and not d.startswith("build")]
        rel = os.path.relpath(folder, TOP)
        for f in files:
            name = os.path.normpath(os.path.join(rel, f))
            if f in GENERATED or name == "m4/pkg.m4" or f.endswith(BUILT):
                continue
            if b"\0" not in read(name):    # else a program, built in the tree
                names.append(name)
    return sorted(names)


def read(name):
    with open(os.path.join(TOP, name), "rb") as f:
        return f.read()


def text(name):
    return read(name).decode("utf-8", "replace")


def finish(complaints):
    for c in complaints:
        print(c)
    if complaints:
        print(f"{len(complaints)} complaints")
    sys.exit(1 if complaints else 0)

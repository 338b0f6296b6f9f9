# SPDX-License-Identifier: BSD-2-Clause
"""Each file of the tree, or a folder around it, is named in a makefile fragment:
what is not in the archive is missing for those who build from it."""

import re

import tree

# The build finds these by itself.
OWN_WAY = re.compile(r"^\.gitignore$|^\.clang-format$|\.am$|^configure\.ac$|^m4/|^\.git")


def undistributed(names, words):
    for n in names:
        parts = n.split("/")
        if not OWN_WAY.search(n) and not any(
                "/".join(parts[:i]) in words for i in range(1, len(parts) + 1)):
            yield f"{n}: in no makefile fragment, so not in the archive"


def words_of(text):
    return set(text.replace("$(top_srcdir)/", "").replace("$(srcdir)/", "").split())


def self_test():
    words = words_of("EXTRA_DIST += a/b \\\n\tc/d.c $(srcdir)/e\n")
    assert list(undistributed(["a/b/x", "c/d.c", "e", "c/Makemodule.am"], words)) == []
    assert len(list(undistributed(["c/e.c", "a/x"], words))) == 2


self_test()
names = tree.tracked()
words = words_of("\n".join(tree.text(n) for n in names if n.endswith(".am")))
tree.finish(list(undistributed(names, words)))

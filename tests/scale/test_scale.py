#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A queue that is large for a test: what must hold of it on any machine."""

import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import scale  # noqa: E402
from scale import lib  # noqa: E402

COUNT = 40000
DRAINED = 3000
VERSION = subprocess.run([lib.BUILD / "posthoused", "--version"], capture_output=True, text=True,
                         check=True).stdout
SANITIZED = not re.search("^  sanitizers +no$", VERSION, re.M)


def expect(good, name, value):
    if not good:
        raise lib.Failure(f"{name}: {value}")


def hold(drained, read, **options):
    """Nothing lost, in order; little read and little kept for each message; few descriptors."""
    figures = scale.measure(COUNT, drained, 500, lambda name, value, target: print(f"     {name}: {value}", flush=True),
                            **options)
    limits = {
        "lost": 0,
        "sent twice": 0,
        # Ten sessions with a few messages each; in no order it would be a third of the queue.
        "mean distance from the place in order": 100,
        # A row of a summary; the last segment, up to 64 MiB, may have to be walked after the kill.
        "bytes read for a message": read,
        "descriptors of relay": 100,
        "descriptors of relay while draining": 120,
    }
    if not SANITIZED:
        # 128 is promised; 111 was measured, and 122 when nothing is given back.
        limits["bytes of memory for a message"] = 119
    for name, limit in limits.items():
        if name in figures:
            expect(figures[name] <= limit, name, figures[name])
    expect(figures["delivered"] >= drained, "delivered", figures["delivered"])


def test_large_queue():
    hold(DRAINED, 200)


def test_large_queue_of_several_routes():
    """Each envelope is read, with the text of a small message; what that took is given back."""
    hold(500, 5000, routes=scale.SEVERAL)


lib.run_tests(globals())

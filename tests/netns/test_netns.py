# SPDX-License-Identifier: BSD-2-Clause
"""The cases of netns.py that end within seconds, and the start probe; the rest is make check-netns."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import netns  # noqa: E402

sys.argv[1:] = ["--quick"] + sys.argv[1:]
netns.main()

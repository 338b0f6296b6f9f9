# SPDX-License-Identifier: BSD-2-Clause
"""The crash enumerator, and then the mutants of the spool that it has to see.

proof.py PROGRAM FLAG... [-- FLAG of tests/mutants/run.py ...]

The last line has all three: images, violations, mutants.
"""

import pathlib
import re
import subprocess
import sys

RUN = pathlib.Path(__file__).resolve().parents[1] / "mutants/run.py"
LIST = "crash.txt"


def run(argv, pattern):
    """Its numbers, and whether it said that all is well; what it prints is passed on."""
    found = None
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            print(line, end="", flush=True)
            found = re.match(pattern, line) or found
    if found is None:
        sys.exit(f"{argv[0]}: no figures (status {p.returncode})")
    return [int(g or 0) for g in found.groups()], p.returncode == 0


def main():
    args = sys.argv[1:]
    cut = args.index("--") if "--" in args else len(args)
    (images, violations), good = run(args[:cut], r"(\d+) distinct crash images, (\d+) violations")
    (killed, tried, late), all_killed = run(
        [sys.executable, "-B", str(RUN), "--only", LIST, *args[cut + 1:]],
        r"killed (\d+) of (\d+)(?: \((\d+) not run)?")
    listed = (RUN.parent / LIST).read_text().count("\nfile: ")
    print(f"crashes of the spool: {images} distinct images, {violations} violations, "
          f"{killed} of {tried} mutants killed"
          + (f" ({tried} drawn of {listed})" if tried < listed else "")
          + (f", {late} more were drawn and there was no time for them" if late else ""))
    sys.exit(0 if good and all_killed else 1)


if __name__ == "__main__":
    main()

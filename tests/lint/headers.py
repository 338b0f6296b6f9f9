# SPDX-License-Identifier: BSD-2-Clause
"""Each header compiles alone, and twice: it includes what it needs and has a guard."""

import concurrent.futures
import os
import shlex
import subprocess
import sys

import tree


def compiles(source):
    command = shlex.split(os.environ.get("CC", "cc")) + \
        shlex.split(os.environ.get("COMPILE_FLAGS", "")) + \
        ["-Wall", "-Werror", "-fsyntax-only", "-x", "c", "-"]
    p = subprocess.run(command, input=source.encode(), capture_output=True)
    return p.returncode == 0, p.stderr.decode("utf-8", "replace")


def check(name):
    inner = name[len("src/"):] if name.startswith("src/") else os.path.join(tree.TOP, name)
    ok, why = compiles(f'#include "{inner}"\n#include "{inner}"\nint unit;\n')
    return None if ok else f"{name}: does not compile alone\n{why}"


def main():
    os.environ["COMPILE_FLAGS"] = os.environ.get("COMPILE_FLAGS", f"-I{tree.TOP}/src") + \
        f" -I{tree.TOP}/tests -I{tree.TOP}/src"
    if not compiles("int unit;\n")[0] or compiles("size_t lacks_include;\n")[0]:
        sys.exit("the compiler does not work: " + compiles("int unit;\n")[1])
    headers = [n for n in tree.tracked() if n.endswith(".h")
               and n.startswith(("src/", "tests/")) and n != "src/base/banned.h"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        tree.finish([c for c in pool.map(check, headers) if c])


main()

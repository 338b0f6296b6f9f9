# SPDX-License-Identifier: BSD-2-Clause
"""Run a program under the system call filter of a unit, as systemd would set it up.

    callfilter.py UNIT UID PROGRAM [ARGUMENT ...]

What is not allowed fails with EPERM (SystemCallErrorNumber=EPERM of the unit).
Also MemoryDenyWriteExecute=: no memory both writable and executable.
"""

import ctypes
import errno
import os
import re
import subprocess
import sys

ALLOW, ERRNO = 0x7fff0000, 0x00050000 | errno.EPERM
PR_SET_NO_NEW_PRIVS = 38
MASKED_EQ = 7
PROT_WRITE_EXEC = 6


class Argument(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64)]


def groups():
    """Group -> its members, from systemd itself."""
    said = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"],
                          capture_output=True, text=True, check=True).stdout
    found, name = {}, None
    for line in said.splitlines():
        if line.startswith("@"):
            name = line.strip()
            found[name] = []
        elif line.startswith("    ") and not line.strip().startswith("#"):
            found[name].append(line.strip())
    return found


def expand(word, known):
    if not word.startswith("@"):
        return {word}
    return set().union(*(expand(w, known) for w in known[word]))


def allowed(unit):
    known = groups()
    calls = expand("@default", known)       # always there
    with open(unit, encoding="utf-8") as file:
        lines = re.findall(r"(?m)^SystemCallFilter=(.*)$", file.read())
    for line in lines:
        deny = line.startswith("~")
        for word in line.lstrip("~").split():
            calls = calls - expand(word, known) if deny else calls | expand(word, known)
    return calls


def apply(calls):
    lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int,
                                           ctypes.c_uint, ctypes.POINTER(Argument)]
    lib.seccomp_load.argtypes = [ctypes.c_void_p]
    context = lib.seccomp_init(ERRNO)
    for call in calls:
        number = lib.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            continue            # of another machine
        if call == "mmap":
            for bits in (0, 2, 4):
                rule = Argument(2, MASKED_EQ, PROT_WRITE_EXEC, bits)
                lib.seccomp_rule_add_array(context, ALLOW, number, 1, ctypes.byref(rule))
        elif call == "mprotect":
            rule = Argument(2, MASKED_EQ, 4, 0)
            lib.seccomp_rule_add_array(context, ALLOW, number, 1, ctypes.byref(rule))
        else:
            lib.seccomp_rule_add_array(context, ALLOW, number, 0, None)
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if lib.seccomp_load(context) != 0:
        sys.exit("the filter can't be loaded")


def become(user):
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


if __name__ == "__main__":
    permitted = allowed(sys.argv[1])
    become(int(sys.argv[2]))
    apply(permitted)
    os.execv(sys.argv[3], sys.argv[3:])

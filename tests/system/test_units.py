# SPDX-License-Identifier: BSD-2-Clause
"""systemd's own tools find nothing wrong with the units, and little that is exposed."""

import os
import re
import shutil
import subprocess
import tempfile
import pathlib

import lib
from lib import Failure

EXPOSURE_MAX = 1.5


def analyze(*words):
    got = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True,
                         timeout=lib.PATIENCE)
    return got.returncode, got.stdout + got.stderr


def units(folder):
    """As they will be, but for the program, which is not installed yet."""
    made = []
    for name in ("posthouse.service", "posthouse.socket"):
        text = (lib.BUILD / "systemd" / name).read_text()
        if "@" in re.sub(r"(?m)^#.*$|~?@(system-service|privileged|resources)", "", text):
            raise Failure(f"{name}: a place was not filled in")
        path = pathlib.Path(folder) / name
        path.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
        made.append(str(path))
    return made


def test_verify():
    with tempfile.TemporaryDirectory() as folder:
        status, said = analyze("verify", "--man=no", *units(folder))
        if status != 0 or "posthouse" in said:
            raise Failure(f"status {status}: {said}")


def test_exposure():
    with tempfile.TemporaryDirectory() as folder:
        service = units(folder)[0]
        _, said = analyze("security", "--offline=true", service)
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
        if not found or float(found.group(1)) > EXPOSURE_MAX:
            raise Failure(said)
        text = pathlib.Path(service).read_text()
        # These would hide who the clients are.
        for line in ("PrivateUsers", "DynamicUser", "PrivateNetwork"):
            if re.search(rf"(?m)^{line}=", text):
                raise Failure(f"{line} is set")


def test_socket_is_local():
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(units(folder)[1]).read_text()
        places = re.findall(r"(?m)^ListenStream=(.*)$", text)
        if places[:2] != ["127.0.0.1:25", "[::1]:25"] or not places[2].endswith("/smtp.sock"):
            raise Failure(f"it listens on {places}")


def test_users_and_folders():
    """The files for sysusers and tmpfiles make what the unit and the daemon expect."""
    if not shutil.which("systemd-sysusers") or os.getuid() != 0:
        return print("     (not root, or no systemd-sysusers: test_users_and_folders is skipped)")
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "etc").mkdir()
        for program, name in (("sysusers", "posthouse.conf"), ("tmpfiles", "tmpfiles/posthouse.conf")):
            words = ["--create"] if program == "tmpfiles" else []
            subprocess.run([f"systemd-{program}", f"--root={folder}", *words,
                            lib.BUILD / "systemd" / name], check=True, timeout=lib.PATIENCE)
        passwd = (pathlib.Path(folder) / "etc/passwd").read_text()
        users = {m.group(1): int(m.group(2)) for m in
                 re.finditer(r"(?m)^([^:]+):[^:]*:(\d+):.*nologin$", passwd)}
        service = (lib.BUILD / "systemd/posthouse.service").read_text()
        owner = re.search(r"(?m)^User=(.*)$", service).group(1)
        if set(users) != {owner, owner + "-intake"}:
            raise Failure(f"{passwd}")
        socket = (lib.BUILD / "systemd/posthouse.socket").read_text()
        run = pathlib.PurePath(re.search(r"(?m)^ListenStream=(.*/smtp.sock)$", socket).group(1)).parent
        state = re.search(r"(?m)^ReadWritePaths=-(\S+)", service).group(1)
        for path, mode in ((run, 0o755), (state, 0o700)):
            found = pathlib.Path(folder + str(path)).stat()
            if found.st_mode & 0o777 != mode or found.st_uid != users[owner]:
                raise Failure(f"{path}: {found}")


if __name__ == "__main__":
    if not shutil.which("systemd-analyze"):
        lib.skip("systemd-analyze is not here")
    if not (lib.BUILD / "systemd/posthouse.service").exists():
        lib.skip("configured without systemd units")
    lib.run_tests(globals())

# SPDX-License-Identifier: BSD-2-Clause
"""./bootstrap on machines where everything is missing: what it tells each package manager.

The managers are commands of ours on a PATH of ours. What they are told is kept, and what they
install is there from then on; the build itself is not what this is about, and fails.
"""

import shutil
import subprocess

import lib
from lib import Failure

TOOLS = ("sh", "dirname", "mkdir", "tr", "date", "tail", "sed", "env", "touch", "chmod", "cat")
INSTALLED = ("make", "autoconf", "automake", "autoreconf", "python3", "openssl", "gcc")

# manager: what it is to be told first, and in the advice to an administrator
MANAGERS = {
    "apt-get": ("apt-get -q update\napt-get -qy install --no-install-recommends gcc libc6-dev make",
                "apt-get install"),
    "dnf": ("dnf -y install gcc make", "dnf install"),
    "apk": ("apk add gcc musl-dev linux-headers make", "apk add"),
    "pacman": ("pacman -S --needed --noconfirm gcc make", "pacman -S"),
    "zypper": ("zypper --non-interactive install gcc make", "zypper install"),
}


def expect(condition, what):
    if not condition:
        raise Failure(what)


class Machine:
    """A folder with the script, and commands that are all the machine has."""

    def __init__(self, place, uid, manager=None, sudo=False):
        self.place = place
        self.bin = place / "bin"
        self.bin.mkdir()
        shutil.copy(lib.TOP / "bootstrap", place)
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name))
        self.command("id", f"echo {uid}")
        if sudo:
            self.command("sudo", 'touch "$PLACE/by-sudo"; exec "$@"')
        if manager:
            self.command(manager, f'echo "{manager} $*" >>"$PLACE/told"; case $* in *update*) exit 0; esac;'
                         f'for t in {" ".join(INSTALLED)} pkg-config; do '
                         'printf "#!/bin/sh\\nexit 0\\n" >"$PLACE/bin/$t"; chmod +x "$PLACE/bin/$t"; done;'
                         'printf "#!/bin/sh\\nexit 3\\n" >"$PLACE/bin/autoreconf"')

    def command(self, name, text):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self):
        return subprocess.run(["sh", "./bootstrap", "demo"], cwd=self.place, capture_output=True, text=True,
                              env={"PATH": str(self.bin), "PLACE": str(self.place)}, timeout=lib.PATIENCE)

    def told(self):
        path = self.place / "told"
        return path.read_text() if path.exists() else ""


def test_managers():
    for manager, (told, _) in MANAGERS.items():
        for uid, sudo in ((0, False), (1000, True)):
            with lib.workplace("bootstrap") as place:
                machine = Machine(place, uid, manager, sudo)
                got = machine.run()
                expect(machine.told().startswith(told), f"{manager} was told {machine.told()!r}: {got}")
                for library in ("libevent", "ssl", "libconfig", "libseccomp", "cmocka"):
                    expect(library in machine.told(), f"{manager}: no {library} in {machine.told()!r}")
                expect((place / "by-sudo").exists() == sudo, f"{manager}: uid {uid}, sudo {not sudo}")
                expect("Missing: " in got.stdout and "Making configure ... failed" in got.stdout,
                       f"{manager}: it does not go on: {got}")
                expect(got.returncode == 1 and "build/bootstrap.log" in got.stderr, f"{got}")


def test_no_way_to_root():
    for manager, (_, advice) in MANAGERS.items():
        with lib.workplace("bootstrap") as place:
            machine = Machine(place, 1000, manager)
            got = machine.run()
            expect(got.returncode == 1 and machine.told() == "", f"{manager}: {got}")
            expect(f"have the administrator run\n    {advice} gcc" in got.stderr, f"{got}")


def test_unknown_system():
    with lib.workplace("bootstrap") as place:
        got = Machine(place, 0).run()
        expect(got.returncode == 1 and "libevent-dev" in got.stderr
               and "libevent_core(library)" in got.stdout, f"{got}")


def test_manager_that_installs_nothing():
    with lib.workplace("bootstrap") as place:
        machine = Machine(place, 0, "dnf")
        machine.command("dnf", "exit 0")
        got = machine.run()
        expect(got.returncode == 1 and "still missing after the installation: make " in got.stderr, f"{got}")


def test_words():
    with lib.workplace("bootstrap") as place:
        machine = Machine(place, 0)
        for word, status in (("--help", 0), ("nonsense", 64)):
            got = subprocess.run(["sh", "./bootstrap", word], cwd=place, capture_output=True, text=True,
                                 env={"PATH": str(machine.bin)}, timeout=lib.PATIENCE)
            expect(got.returncode == status and got.stdout.count("./bootstrap") == 3, f"{word}: {got}")


if __name__ == "__main__":
    lib.run_tests(globals())

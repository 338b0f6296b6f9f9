# SPDX-License-Identifier: BSD-2-Clause
"""Servers that say more than anybody can use: memory stays bounded, and mail takes another port."""

import contextlib
import pathlib
import re
import socket
import threading

import lib
from lib import Failure

MIB = 1 << 20
SANITIZED = any(word in lib.program("posthoused").read_bytes()
                for word in (b"__asan_init", b"__tsan_init"))
GREETED = b"220 flood.example\r\n"
FLOODS = {
    "a banner of one line": (b"220 " + b"x" * MIB, b"x" * MIB),
    "a banner of many lines": (b"220-x\r\n" * 20000, b"220-x\r\n" * 20000),
    "a reply of many lines": (GREETED + b"250-X\r\n" * 20000, b"250-X\r\n" * 20000),
    "a reply of one line": (GREETED + b"250-" + b"x" * MIB, b"x" * MIB),
    "bytes that mean nothing": (b"\0\xff\r\n\n\r" * 100000, b"\0\xff\r\n\n\r" * 100000),
    "replies that nobody asked for": (GREETED + b"250 x\r\n" * 100000, b"250 x\r\n" * 100000),
}


class Flood:
    """A port where each connection is told first and then more, until it is closed from there."""

    def __init__(self, first, more):
        self.first, self.more = first, more
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ended = threading.Semaphore(0)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def talk(self, peer):
        with peer:
            peer.settimeout(lib.PATIENCE)
            try:
                peer.sendall(self.first)
                for _ in range(64):
                    peer.sendall(self.more)
            except ConnectionError:
                self.ended.release()    # it had enough

    def close(self):
        self.listener.close()


def most_memory(posthouse):
    status = pathlib.Path(f"/proc/{posthouse.roles()['relay']}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) << 10


def test_servers_that_talk_without_end():
    with lib.world("bounds", daemon=False) as (sink, _):
        place = sink.dir.parent
        floods = {name: Flood(*words) for name, words in FLOODS.items()}
        endpoints = [{"port": f.port, "tls": "starttls"} for f in floods.values()]
        posthouse = lib.Daemon(place, sink, place / "certs", relay={
            "endpoints": [*endpoints, {"port": sink.ports["465"], "tls": "implicit"}]})
        try:
            posthouse.submit(lib.new_token())
            sink.wait_received(1)
            for name, flood in floods.items():
                if not flood.ended.acquire(timeout=lib.PATIENCE):
                    raise Failure(f"{name}: it is heard to the end")
            posthouse.submit(lib.new_token())
            sink.wait_received(2)
            most = most_memory(posthouse)
            if most > 48 * MIB and not SANITIZED:
                raise Failure(f"relay took {most >> 10} KiB of memory")
        finally:
            posthouse.kill()
            for flood in floods.values():
                flood.close()


if __name__ == "__main__":
    lib.run_tests(globals())

# SPDX-License-Identifier: BSD-2-Clause
"""What reaches the other end. For the start probe.

    reach.py serve PORT            echo, TCP and UDP
    reach.py connect ADDRESS PORT [BYTES]
                                   connect, send so many bytes, read them back: prints
                                   "ok", "timeout" or the error's name
    reach.py hold ADDRESS PORT     the same, but between connecting ("connected") and
                                   sending it waits for a line
    reach.py count ADDRESS PORT N  N datagrams: prints how many came back
"""

import contextlib
import errno
import socket
import sys
import threading

WAIT = 2.0      # only where nothing comes


def echo(stream):
    with contextlib.suppress(OSError), stream:
        while True:
            data = stream.recv(65536)
            if not data:
                return
            stream.sendall(data)


def serve(port):
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("0.0.0.0", port))

    def reflect():
        while True:
            data, peer = datagrams.recvfrom(2048)
            datagrams.sendto(data, peer)

    threading.Thread(target=reflect, daemon=True).start()
    family, where = (socket.AF_INET6, "::") if socket.has_dualstack_ipv6() else \
        (socket.AF_INET, "0.0.0.0")
    listener = socket.create_server((where, port), family=family,
                                    dualstack_ipv6=family == socket.AF_INET6)

    def accept():
        while True:
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.buffer.read()


def send(stream, data):
    with contextlib.suppress(OSError):      # the reader sees it too
        stream.sendall(data)


def connect(address, port, size=1, hold=False):
    with contextlib.ExitStack() as stack:
        try:
            s = stack.enter_context(socket.create_connection((address, port), timeout=WAIT))
            if hold:
                print("connected", flush=True)
                sys.stdin.readline()
            threading.Thread(target=send, args=(s, b"x" * size), daemon=True).start()
            left = size
            while left > 0:
                data = s.recv(65536)
                if not data:
                    return "eof"
                left -= len(data)
        except TimeoutError:
            return "timeout"
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))
    return "ok"


def count(address, port, n):
    back = 0
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((address, port))
    for i in range(n):
        s.send(b"%d" % i)
        s.settimeout(0.02)
        with contextlib.suppress(OSError):
            while True:
                s.recv(2048)
                back += 1
                s.settimeout(0)
    return back


def main():
    what, *words = sys.argv[1:]
    if what == "serve":
        serve(int(words[0]))
    elif what == "count":
        print(count(words[0], int(words[1]), int(words[2])))
    else:
        print(connect(words[0], int(words[1]), *map(int, words[2:]), hold=what == "hold"), flush=True)


main()

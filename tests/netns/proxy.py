# SPDX-License-Identifier: BSD-2-Clause
"""proxy.py MODE LISTEN[:PORT]...: a device on the path, as hotels and providers have them.

    missing, blanked  passes SMTP on to the provider's PORT without STARTTLS: the keyword is
                      removed or overwritten, and a login in clear is offered in its place
    answers           greets on its own, offers a login in clear, and takes everything
    silent            accepts connections and says nothing
    intercepts        offers STARTTLS and shows a certificate of an authority of its own

The router sends connections to LISTEN here.
"""

import contextlib
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

PROVIDER = "10.2.0.2"
STARTTLS = re.compile(rb"^(250[- ])STARTTLS\r\n$", re.I)


def to_provider(lines, server):
    """What the client says; STARTTLS is not for this device to know."""
    for line in lines:
        if line.strip().upper() == b"STARTTLS":
            line = b"XXXXXXXX\r\n"
        server.sendall(line)


def to_client(lines, client, blanked):
    for line in lines:
        m = STARTTLS.match(line)
        if m:
            client.sendall(m.group(1) + (b"XXXXXXXX" if blanked else b"AUTH PLAIN LOGIN") + b"\r\n")
        else:
            client.sendall(line)


def quietly(what, *arguments):
    with contextlib.suppress(OSError):
        what(*arguments)


def strip(client, port, blanked):
    with client, socket.create_connection((PROVIDER, port)) as server:
        back = threading.Thread(target=quietly, daemon=True,
                                args=(to_client, server.makefile("rb"), client, blanked))
        back.start()
        quietly(to_provider, client.makefile("rb"), server)
        quietly(server.shutdown, socket.SHUT_RDWR)
        back.join()
        quietly(client.shutdown, socket.SHUT_RDWR)


REPLIES = {b"EHLO": b"250-proxy.test\r\n250 AUTH PLAIN LOGIN\r\n", b"HELO": b"250 proxy.test\r\n",
           b"AUTH": b"235 2.7.0 welcome\r\n", b"MAIL": b"250 2.0.0 fine\r\n",
           b"RCPT": b"250 2.0.0 fine\r\n", b"DATA": b"354 go on\r\n",
           b"QUIT": b"221 2.0.0 bye\r\n"}


def answer(client):
    with client:
        client.sendall(b"220 proxy.test ESMTP\r\n")
        for line in client.makefile("rb"):
            verb = line[:4].upper()
            client.sendall(REPLIES.get(verb, b"502 5.5.1 not here\r\n"))
            if verb == b"QUIT":
                return


def be_silent(client):
    with client:
        while client.recv(65536):
            pass


def own_context():
    """As a box has it: the name is right, and the authority is the box itself."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = (str(pathlib.Path(folder) / n) for n in ("key", "pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "9", "-keyout", key, "-out", certificate, "-subj",
                        "/O=Box Inc/CN=smtp.provider.test", "-addext", "subjectAltName=DNS:smtp.provider.test"],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context


def intercept(client, context):
    client.sendall(b"220 proxy.test ESMTP\r\n")
    for line in client.makefile("rb", buffering=0):
        verb = line.strip().upper()
        if verb == b"STARTTLS":
            client.sendall(b"220 2.0.0 go on\r\n")
            break
        client.sendall(b"250-proxy.test\r\n250 STARTTLS\r\n" if verb.startswith(b"EHLO") else b"502 5.5.1 no\r\n")
    with context.wrap_socket(client, server_side=True) as inside:
        answer(inside)      # whoever goes on tells it everything


def serve(mode, listener, port):
    context = own_context() if mode == "intercepts" else None
    while True:
        client = listener.accept()[0]
        how = {"silent": (be_silent, client), "answers": (answer, client),
               "intercepts": (intercept, client, context)}.get(
            mode, (strip, client, port, mode == "blanked"))
        threading.Thread(target=quietly, args=how, daemon=True).start()


def main():
    for word in sys.argv[2:]:
        number, _, port = word.partition(":")
        listener = socket.create_server(("0.0.0.0", int(number)), backlog=64)
        threading.Thread(target=serve, args=(sys.argv[1], listener, int(port or 0)),
                         daemon=True).start()
    print("ready", flush=True)
    sys.stdin.buffer.read()


main()

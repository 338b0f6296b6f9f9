# SPDX-License-Identifier: BSD-2-Clause
"""./bootstrap demo: mail finds its way when a port is blocked.

A test server stands for the provider; posthoused runs as an ordinary user on a
free port. Nothing is installed, and all of it is gone at the end.
"""

import argparse
import os
import socket
import sys
import textwrap


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", default="build", help="the build directory")
    return p.parse_args()


ARGUMENTS = parse_arguments()
os.environ["top_builddir"] = ARGUMENTS.build
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402


def say(text=""):
    print(text, flush=True)


def step(text):
    say(f"\n==> {text}")


def show_ports(posthouse):
    names = {number: name for name, number in posthouse.sink.ports.items()}
    say(f"    {'port':<16}{'tls':<10}{'state':<12}{'score':>6}  {'in use':<8}why")
    for row in posthouse.ctl("ports")["ports"]:
        port = f"{row['port']} (as {names[row['port']]})"
        score = f"{row['score']:.0f}" if row["score"] is not None else "-"
        say(f"    {port:<16}{row['tls']:<10}{row['state']:<12}{score:>6}  "
            f"{'' if not row['current'] else 'avoided' if row['suspect'] else 'yes':<8}"
            f"{row['why'] or ''}")


def show_received(message):
    say(f"    the server got it on its port {message.port}, over {message.tls}, "
        f"login {message.user}:")
    say(textwrap.indent(f"MAIL FROM:<{message.sender}>\n" +
                        "\n".join(f"RCPT TO:<{to}>" for to in message.to) + "\n\n" +
                        message.body.decode().replace("\r\n", "\n"), "      | "))


def send_by_sendmail(posthouse):
    text = ("To: you@example.net\nSubject: by sendmail -t\nX-Token: first\n\n"
            "As cron and PHP's mail() send it.\n")
    say("    $ sendmail -t -i -f web@example.com <<END")
    say(textwrap.indent(text.replace("X-Token: first\n", "") + "END", "      "))
    posthouse.sendmail(["-t", "-i", "-f", "web@example.com"], text.encode())
    say("    sendmail came back with status 0: the message is safe on disk")


def send_by_smtp(posthouse, subject, number):
    body = (f"From: shop@example.com\r\nTo: you@example.net\r\nSubject: {subject}\r\n\r\n"
            f"As a program with an SMTP library sends it ({number}).\r\n").encode()
    name = posthouse.submit("-", sender="shop@example.com", to=["you@example.net"], body=body)
    say(f"    posthoused said 250: the message is safe on disk as {name}")
    return name


def block(sink, posthouse):
    port = sink.messages()[-1].port
    say(f"    port {port} now drops everything, as a firewall does; "
        "open connections are cut")
    sink.set(port, "listen", "filtered")
    sink.cut(port)
    return port


def log_since(posthouse, mark):
    for line in posthouse.process.text(mark).split("\n"):
        say("    " + (line[3:] if line[:1] == "<" and line[2:3] == ">" else line))


LAST = """
That was the whole way: accepted, safe on disk, relayed over TLS, and over another
port when one was blocked. To do this with a real provider:

    ./configure --sysconfdir=/etc --localstatedir=/var && make
    sudo make install && sudo systemd-sysusers && sudo systemd-tmpfiles --create
    put into /etc/posthouse/posthouse.conf:

        admin  = "you@example.com";
        relays = ( { name = "main"; host = "smtp.provider.example"; user = "USER";
                     password_file = "/etc/posthouse/main.password"; } );

    sudo install -m 0600 -o posthouse /dev/stdin /etc/posthouse/main.password
    sudo posthoused -t                     checks the configuration
    sudo systemctl enable --now posthouse.socket posthouse.service
    posthousectl ports                     shows which ports work

Point programs at localhost, port 25, or let sendmail be posthouse's. README has more."""


def main():
    step("Starting a test server with ports like 587 (STARTTLS), 465 (TLS) and 2525 (STARTTLS)")
    say("    its certificate authority is made on the spot")
    with lib.world("demo", keep=False) as (sink, posthouse):
        for name, number in sink.ports.items():
            say(f"    {name} is 127.0.0.1:{number} here")
        step("posthoused is running")
        user = "as user nobody" if os.getuid() == 0 else "as you"
        say(f"    {user}, listening on 127.0.0.1:{posthouse.port.number}, "
            f"files in {posthouse.place}")
        step("One message by sendmail -t")
        send_by_sendmail(posthouse)
        sink.wait_received(1)
        show_received(sink.messages()[-1])
        step("One message by SMTP")
        send_by_smtp(posthouse, "by SMTP", 1)
        sink.wait_received(2)
        show_received(sink.messages()[-1])
        step("How posthouse rates the ports ($ posthousectl ports)")
        show_ports(posthouse)
        step("Blocking the port in use")
        blocked = block(sink, posthouse)
        step("Sending again")
        mark = posthouse.process.mark()
        send_by_smtp(posthouse, "after the block", 2)
        say("    waiting for it to come out somewhere (a port that swallows everything is told\n"
            "    from a slow one only by time, about 15 s) ...")
        sink.wait_received(3)
        got = sink.messages()[-1]
        if got.port == blocked:
            raise lib.Failure("the mail went out over the port that was blocked")
        show_received(got)
        say("    what posthoused logged meanwhile:")
        log_since(posthouse, mark)
        step("And once more: posthouse knows by now")
        send_by_smtp(posthouse, "a second one after the block", 3)
        sink.wait_received(4)
        say(f"    it left at once, over {sink.messages()[-1].port}")
        step("The ports now")
        show_ports(posthouse)
        say(f"\n    The mail left over {got.port} because {blocked} is blocked.")
        posthouse.stop()
    say(LAST)


def check_localhost():
    """The daemon looks the name up as it would a provider's."""
    try:
        found = {a[4][0] for a in socket.getaddrinfo("localhost", 25, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise lib.Failure("the name localhost can't be looked up on this host "
                          f"({error}); put the line \"127.0.0.1 localhost\" into /etc/hosts") from None
    if "127.0.0.1" not in found:
        raise lib.Failure(f"the name localhost means {', '.join(sorted(found))} on this host, and the test "
                          "server listens on 127.0.0.1; put the line \"127.0.0.1 localhost\" into "
                          "/etc/hosts")


try:
    check_localhost()
    main()
except lib.Failure as error:
    sys.exit(f"demo: {error}")

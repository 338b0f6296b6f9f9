# SPDX-License-Identifier: BSD-2-Clause
"""wire.py INTERFACE PORT... -- WORD...: who connects to these ports, and what goes in clear.

Prints "syn PORT 4|6 TIME ADDRESS" for the first SYN of each connection (retransmissions have
the same source port), and "clear N" for a packet to one of the ports with N bytes of
which some are a login, a sender, or one of the words, as it is or in base64. The packets are taken from the link before any
rule sees them; the times are the kernel's. A line "flush" on standard input is
answered by "flushed dropped=N" when all that came before it has been looked at.
"""

import base64
import select
import socket
import struct
import sys

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_TIMESTAMPNS = 35


def forms(word):
    """The ways in which SMTP says a word: as it is, or within AUTH LOGIN and PLAIN."""
    raw = word.encode()
    found = {raw}
    for before in range(3):     # base64 looks different by the place within three bytes
        text = base64.b64encode(b"\0" * before + raw)
        found.add(text[4 if before else 0:len(text) // 4 * 4 - 4])
    return [f for f in found if len(f) >= 8]     # shorter ones come by chance in ciphertext


def transport(frame):
    """(family, target's address, TCP segment) of an Ethernet frame, or None."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP:
        size = struct.unpack("!H", frame[16:18])[0]
        return "4", socket.inet_ntop(socket.AF_INET, frame[30:34]), \
            frame[14 + (frame[14] & 15) * 4:14 + size if size else None]
    if kind == b"\x86\xdd" and frame[20] == socket.IPPROTO_TCP:
        return "6", socket.inet_ntop(socket.AF_INET6, frame[38:54]), frame[54:]
    return None


class Watch:
    def __init__(self, ports, words):
        self.ports = ports
        self.forms = [b"AUTH PLAIN", b"AUTH LOGIN", b"MAIL FROM"] + [f for w in words for f in forms(w)]
        self.seen = set()

    def packet(self, frame, at):
        found = transport(frame)
        if found is None or len(found[2]) < 20:
            return
        family, address, tcp = found
        source, target = struct.unpack("!HH", tcp[:4])
        flags = tcp[13]
        if flags & 0x12 == 0x02 and target in self.ports and (family, source, target) not in self.seen:
            self.seen.add((family, source, target))
            print(f"syn {target} {family} {at:.6f} {address}", flush=True)
        payload = tcp[(tcp[12] >> 4) * 4:]
        if target in self.ports and any(f in payload for f in self.forms):
            print(f"clear {len(payload)} {target}", flush=True)


def drain(link, watch):
    """Everything that has come."""
    while True:
        try:
            frame, extra, _, _ = link.recvmsg(1 << 17, 256, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        for level, kind, data in extra:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanos = struct.unpack("qq", data[:16])
                watch.packet(frame, seconds + nanos / 1e9)


def main():
    split = sys.argv.index("--")
    watch = Watch({int(p) for p in sys.argv[2:split]}, sys.argv[split + 1:])
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    link.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)        # SO_RCVBUFFORCE
    link.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    link.bind((sys.argv[1], 0))
    print("ready", flush=True)
    dropped = 0
    while True:
        ready = select.select([link, 0], [], [])[0]
        drain(link, watch)
        if 0 in ready:
            if not sys.stdin.buffer.readline():
                return
            drain(link, watch)
            dropped += struct.unpack("II", link.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
            print(f"flushed dropped={dropped}", flush=True)


main()

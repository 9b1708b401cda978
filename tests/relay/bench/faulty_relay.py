"""A relay that does wrong when told to: plain ng, a port for each phone, one thread.

    python -m tests.relay.bench.faulty_relay IP:PORT FAULT

FAULT is what happens to every tenth packet of a stream; ``none`` leaves them alone.
"""

from __future__ import annotations

import re
import select
import socket
import sys
from dataclasses import dataclass, field

from relay.ng import bencode
from relay.ng.bencode import Value

EVERY = 10

Address = tuple[str, int]


@dataclass(eq=False)
class Port:
    """What one phone sends to, and hears from."""

    socket: socket.socket
    phone: Address | None = None
    opposite: Port | None = None
    packets: int = 0
    held: list[bytes] = field(default_factory=list)

    def say(self, *packets: bytes) -> None:
        assert self.phone is not None
        for packet in packets:
            self.socket.sendto(packet, self.phone)


@dataclass
class FaultyRelay:
    ng: socket.socket
    fault: str
    ports: list[Port] = field(default_factory=list)
    offered: dict[str, tuple[Port, Address]] = field(default_factory=dict)

    def run(self) -> None:
        while True:
            ports = {port.socket.fileno(): port for port in self.ports}
            for ready in select.select([self.ng.fileno(), *ports], [], [])[0]:
                if ready == self.ng.fileno():
                    self.obey(*self.ng.recvfrom(65536))
                else:
                    self.forward(ports[ready], ports[ready].socket.recv(4096))

    def obey(self, datagram: bytes, proxy: Address) -> None:
        cookie, _, payload = datagram.partition(b" ")
        self.ng.sendto(cookie + b" " + bencode.encode(self.reply(bencode.decode(payload))), proxy)

    def reply(self, request: dict[str, Value]) -> dict[str, str]:
        call, sdp = str(request.get("call-id")), str(request.get("sdp"))
        match request["command"]:
            case "ping":
                return {"result": "pong"}
            case "offer":
                for_callee = self.open()
                self.offered[call] = for_callee, phone_in(sdp)
                return {"result": "ok", "sdp": self.rewritten(sdp, for_callee)}
            case "answer":
                for_caller = self.open()
                for_callee, for_caller.phone = self.offered[call]
                for_callee.phone = phone_in(sdp)
                for_callee.opposite, for_caller.opposite = for_caller, for_callee
                return {"result": "ok", "sdp": self.rewritten(sdp, for_caller)}
        return {"result": "ok"}

    def open(self) -> Port:
        port = Port(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        port.socket.bind((self.ng.getsockname()[0], 0))
        self.ports.append(port)
        return port

    def rewritten(self, sdp: str, port: Port) -> str:
        host, number = port.socket.getsockname()
        sdp = re.sub(r"(m=\S+) \d+", rf"\1 {number}", sdp)
        return re.sub(r"c=IN IP4 \S+", f"c=IN IP4 {host}", sdp)

    def forward(self, arrived_at: Port, packet: bytes) -> None:
        leaves_from = arrived_at.opposite
        assert leaves_from is not None
        arrived_at.packets += 1
        match self.fault if arrived_at.packets % EVERY == 0 else "none":
            case "drop":
                pass
            case "duplicate":
                leaves_from.say(packet, packet)
            case "damage":
                leaves_from.say(packet[:-1] + bytes([packet[-1] ^ 1]))
            case "misdeliver":
                place = self.ports.index(leaves_from)
                self.ports[(place + 2) % len(self.ports)].say(packet)
            case "reorder":
                arrived_at.held.append(packet)
            case _:
                leaves_from.say(packet, *arrived_at.held)
                arrived_at.held.clear()


def phone_in(sdp: str) -> Address:
    host, port = re.search(r"c=IN IP4 (\S+)", sdp), re.search(r"m=\S+ (\d+)", sdp)
    assert host is not None
    assert port is not None
    return host[1], int(port[1])


def main() -> None:
    host, port = sys.argv[1].split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ng:
        ng.bind((host, int(port)))
        FaultyRelay(ng, sys.argv[2]).run()


if __name__ == "__main__":
    main()

"""The transaction half of a scripted phone (RFC 3261, section 17): it repeats, and answers repeats."""

import abc
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.interop.sip import Message
from tests.ng import Address

T1 = 0.5
"""Seconds before the first repetition (RFC 3261, 17.1.1.1); doubles up to T2."""
T2 = 4.0
TICK = 0.05
"""Seconds between looks at the repetitions that are due."""

Key = tuple[str, str, str]


@dataclass
class Repetition:
    """A datagram that is sent again and again until its key is settled."""

    datagram: bytes
    to: Address
    interval: float = T1
    due: float = field(default_factory=lambda: time.monotonic() + T1)


class Endpoint(abc.ABC):
    """A UDP socket for SIP. Subclasses get every request once and every response as it comes.

    `on_request` and `on_response` run in the receiving thread with `changed` held; whoever waits for
    something to happen waits on `changed`.
    """

    def __init__(self, host: str) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.trace: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(TICK)
        self.address: Address = self._socket.getsockname()
        self._repetitions: dict[Key, Repetition] = {}
        self._replies: dict[Key, bytes] = {}
        self._sources: dict[Key, Address] = {}
        self._running = True
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._running = False
        self._thread.join()
        self._socket.close()

    @abc.abstractmethod
    def on_request(self, request: Message) -> None:
        """A request came for the first time."""

    @abc.abstractmethod
    def on_response(self, response: Message) -> None:
        """A response came."""

    def wait_for(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Block until `condition` holds; fails after `timeout` seconds with what was sent and received."""
        with self.changed:
            if not self.changed.wait_for(condition, timeout):
                raise AssertionError(f"not within {timeout:g} s: {what}\n" + "\n".join(self.trace))

    def send_request(self, request: Message, to: Address) -> None:
        """Send, and repeat until a response comes. An ACK is sent once."""
        with self.changed:
            datagram = request.encode()
            if request.method != "ACK":
                key = ("request", request.branch, request.method)
                self._repetitions[key] = Repetition(datagram, to)
            self._transmit(datagram, to, request.start)

    def send_response(self, request: Message, reply: Message) -> None:
        """Answer; the final answer to an INVITE is repeated until its ACK comes."""
        with self.changed:
            key = _transaction(request)
            datagram = reply.encode()
            self._replies[key] = datagram
            if request.method == "INVITE" and reply.status >= 200:
                self._repetitions[_awaiting_ack(request)] = Repetition(datagram, self._sources[key])
            self._transmit(datagram, self._sources[key], reply.start)

    def _transmit(self, datagram: bytes, to: Address, start: str) -> None:
        self.trace.append(f"{time.monotonic():.3f} > {start}")
        self._socket.sendto(datagram, to)

    def _run(self) -> None:
        while self._running:
            try:
                datagram, source = self._socket.recvfrom(65536)
            except TimeoutError:
                pass
            else:
                with self.changed:
                    self._receive(Message.parse(datagram), source)
                    self.changed.notify_all()
            with self.changed:
                self._repeat()

    def _repeat(self) -> None:
        now = time.monotonic()
        for repetition in self._repetitions.values():
            if now >= repetition.due:
                repetition.interval = min(2 * repetition.interval, T2)
                repetition.due = now + repetition.interval
                self._transmit(repetition.datagram, repetition.to, "(again)")

    def _receive(self, message: Message, source: Address) -> None:
        self.trace.append(f"{time.monotonic():.3f} < {message.start} (CSeq {message.get('CSeq')})")
        if not message.is_request:
            if message.status >= 200 or message.method == "INVITE":
                self._repetitions.pop(("request", message.branch, message.method), None)
            self.on_response(message)
            return
        if message.method == "ACK":
            self._repetitions.pop(_awaiting_ack(message), None)
            self.on_request(message)
            return
        key = _transaction(message)
        if key not in self._sources:
            self._sources[key] = source
            self.on_request(message)
        elif key in self._replies:
            self._transmit(self._replies[key], source, "(answered again)")


def _transaction(request: Message) -> Key:
    return ("transaction", request.branch, request.method)


def _awaiting_ack(request: Message) -> Key:
    return ("final", request.get("Call-ID"), str(request.sequence))

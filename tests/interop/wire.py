"""The wire between proxy and relay: forwards ng datagrams, and on demand loses first replies."""

import select
import socket
import threading

from tests.ng import Address


class Wire:
    """A UDP forwarder in front of the relay's ng socket.

    While `losing` is set, the first reply to every cookie is dropped; the reply to the
    proxy's repetition goes through.
    """

    def __init__(self, relay: Address) -> None:
        self.losing = False
        self.lost: list[bytes] = []
        self._relay = relay
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind((relay[0], 0))
        self._backs: dict[Address, socket.socket] = {}
        self._answered: set[bytes] = set()
        self._stop_read, self._stop_write = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> Address:
        host, port = self._front.getsockname()
        return host, port

    def passes(self, request: bytes) -> None:
        """A request of the proxy, on its way to the relay."""

    def stop(self) -> None:
        self._stop_write.send(b"x")
        self._thread.join()
        for one in (self._front, self._stop_read, self._stop_write, *self._backs.values()):
            one.close()

    def _run(self) -> None:
        while True:
            proxies = {back: proxy for proxy, back in self._backs.items()}
            readable, _, _ = select.select([self._stop_read, self._front, *proxies], [], [])
            if self._stop_read in readable:
                return
            for ready in readable:
                if ready is self._front:
                    self._forward_request()
                else:
                    self._forward_reply(ready, proxies[ready])

    def _forward_request(self) -> None:
        datagram, proxy = self._front.recvfrom(65536)
        if proxy not in self._backs:
            back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            back.connect(self._relay)
            self._backs[proxy] = back
        self.passes(datagram)
        self._backs[proxy].send(datagram)

    def _forward_reply(self, back: socket.socket, proxy: Address) -> None:
        datagram = back.recv(65536)
        cookie = datagram.partition(b" ")[0]
        first = cookie not in self._answered
        self._answered.add(cookie)
        if first and self.losing:
            self.lost.append(datagram)
            return
        self._front.sendto(datagram, proxy)

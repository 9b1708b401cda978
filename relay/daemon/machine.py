"""What calls ask of the machine: real ports, the real plane, real randomness."""

from __future__ import annotations

import logging
import random
import secrets
import socket
from collections.abc import Sequence

from relay.calls.resources import LocalAddress, LocalPort, OutOfPorts
from relay.forward.plane import Plane, PlaneFull
from relay.forward.rule import Address, Change
from relay.forward.sockets import PortPool, PortsTaken, set_tos
from relay.ice import credentials
from relay.ice.credentials import Credentials
from relay.ports import PortError, Ports, PortsExhausted

log = logging.getLogger("icerelay.ports")


class Machine:
    """``relay.calls.resources.Resources`` over sockets and a plane."""

    def __init__(self, addresses: Sequence[LocalAddress], port_min: int, port_max: int) -> None:
        self.addresses = {at.address: at for at in addresses}
        self.pool = PortPool(
            {address: Ports(port_min, port_max, random.Random()) for address in self.addresses}
        )
        self.plane: Plane
        self._sockets: dict[int, socket.socket] = {}

    def probe(self) -> None:
        """Open one port on every address. Raises ``OSError`` that says what to mend."""
        for address in self.addresses:
            try:
                sock = self.pool.open_single(address, 0)
            except PortError as error:
                raise OSError(f"--interface: {error}") from error
            number: int = sock.getsockname()[1]
            sock.close()
            self.pool.release(address, number)

    def open(self, at: LocalAddress, count: int, tos: int, worker: int) -> list[LocalPort]:
        """See ``Resources.open``."""
        try:
            if count == 1:
                sockets = [self.pool.open_single(at.address, tos)]
            else:
                sockets = list(self.pool.open_pair(at.address, tos))
        except PortError as error:
            log.error("%s", error)
            exhausted = isinstance(error, PortsExhausted) and not isinstance(error, PortsTaken)
            raise OutOfPorts(str(error), exhausted) from error
        return [self._hand_over(sock, at, worker) for sock in sockets]

    def _hand_over(self, sock: socket.socket, at: LocalAddress, worker: int) -> LocalPort:
        number: int = sock.getsockname()[1]
        handle = self.plane.open(sock, worker)
        self._sockets[handle] = sock
        return LocalPort(handle, at, number)

    def close(self, port: LocalPort) -> None:
        """See ``Resources.close``. The number is free again once the worker has let go of the socket."""
        self._sockets.pop(port.handle, None)
        self.plane.close(port.handle)

    def closed(self, address: str, number: int) -> None:
        """The plane has closed a socket."""
        self.pool.release(address, number)

    def retag(self, port: LocalPort, tos: int) -> None:
        """See ``Resources.retag``."""
        set_tos(self._sockets[port.handle], tos)

    def allocate_rule(self) -> int:
        """See ``Resources.allocate_rule``."""
        try:
            return self.plane.allocate()
        except PlaneFull as error:
            log.error("%s", error)
            raise OutOfPorts(str(error), exhausted=True) from error

    def apply(self, changes: Sequence[Change]) -> None:
        """See ``Resources.apply``."""
        self.plane.apply(changes)

    def send(self, port: int, remote: Address, datagram: bytes) -> None:
        """See ``Resources.send``."""
        self.plane.send(port, remote, datagram)

    def credentials(self) -> Credentials:
        """See ``Resources.credentials``."""
        return credentials.new()

    def tie_breaker(self) -> int:
        """See ``Resources.tie_breaker``."""
        return secrets.randbits(64)

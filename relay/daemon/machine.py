"""What calls ask of the machine: real ports, the real plane, real randomness."""

from __future__ import annotations

import logging
import random
import secrets
import socket
import time
from collections.abc import Sequence

from relay.calls.resources import KeysRefused, LocalAddress, LocalPort, OutOfPorts
from relay.daemon.computing import Computing
from relay.dtls.association import Job
from relay.dtls.identity import Identities, Identity
from relay.forward import srtp_library
from relay.forward.plane import Plane, PlaneFull, SrtpUnavailable
from relay.forward.rule import Address, Change
from relay.forward.sockets import DescriptorLimit, PortPool, PortsTaken
from relay.ice import credentials
from relay.ice.credentials import Credentials
from relay.ports import PortError, Ports, PortsExhausted
from relay.srtp.profiles import MasterKey, Profile, SrtpError

log = logging.getLogger("icerelay.ports")


class Machine:
    """``relay.calls.resources.Resources`` over sockets and a plane."""

    def __init__(self, addresses: Sequence[LocalAddress], port_min: int, port_max: int) -> None:
        self.addresses = tuple(addresses)
        self.pool = PortPool(
            {at.address: Ports(port_min, port_max, random.Random()) for at in self.addresses}
        )
        self.plane: Plane
        self.computing = Computing()
        self._identities = Identities(time.time())

    def probe(self) -> None:
        """Open one port on every address. Raises ``OSError`` that says what to mend."""
        for address in dict.fromkeys(at.address for at in self.addresses):
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
            log.error("%s", error, extra={"flood": str(error)})
            # "Ran out of ports" sends a proxy to its next node, which is right for descriptors as well.
            exhausted = isinstance(error, (PortsExhausted, DescriptorLimit))
            raise OutOfPorts(str(error), exhausted and not isinstance(error, PortsTaken)) from error
        opened: list[LocalPort] = []
        try:
            for sock in sockets:
                opened.append(self._hand_over(sock, at, worker))
        except (PlaneFull, OSError) as error:
            log.error("%s", error, extra={"flood": str(error)})
            self.close(*opened)
            for sock in sockets[len(opened) :]:
                number: int = sock.getsockname()[1]
                sock.close()
                self.pool.release(at.address, number)
            raise OutOfPorts(str(error), exhausted=True) from error
        return opened

    def _hand_over(self, sock: socket.socket, at: LocalAddress, worker: int) -> LocalPort:
        number: int = sock.getsockname()[1]
        return LocalPort(self.plane.open(sock, worker), at, number)

    def close(self, *ports: LocalPort) -> None:
        """See ``Resources.close``. A number is free again once the worker has let go of the socket."""
        self.plane.close(*[port.handle for port in ports])

    def holds(self, source: Address) -> bool:
        """Whether it is a media port of ours that is open: another program cannot have it meanwhile."""
        return self.pool.holds(*source)

    def closed(self, address: str, number: int) -> None:
        """The plane has closed a socket."""
        self.pool.release(address, number)

    def retag(self, port: LocalPort, tos: int) -> None:
        """See ``Resources.retag``."""
        self.plane.retag(port.handle, tos)

    def allocate_rule(self) -> int:
        """See ``Resources.allocate_rule``."""
        try:
            return self.plane.allocate()
        except PlaneFull as error:
            log.error("%s", error, extra={"flood": str(error)})
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

    def identity(self) -> Identity:
        """See ``Resources.identity``."""
        return self._identities.current(time.time())

    def suites(self) -> frozenset[str]:
        """See ``Resources.suites``."""
        return frozenset(profile.name for profile in srtp_library.supported())

    def random_key(self, length: int) -> bytes:
        """See ``Resources.random_key``."""
        return secrets.token_bytes(length)

    def open_keys(
        self, profile: Profile, receive: MasterKey, send: MasterKey, after: int | None = None
    ) -> int:
        """See ``Resources.open_keys``."""
        try:
            return self.plane.open_keys(profile, receive, send, after)
        except (SrtpUnavailable, SrtpError, PlaneFull) as error:
            log.error("SRTP: %s", error, extra={"flood": str(error)})
            raise KeysRefused(str(error), exhausted=isinstance(error, PlaneFull)) from error

    def close_keys(self, keys: int) -> None:
        """See ``Resources.close_keys``."""
        self.plane.close_keys(keys)

    def compute(self, job: Job) -> bool:
        """See ``Resources.compute``."""
        return self.computing.compute(job)

    def computed(self) -> list[Job]:
        """See ``Resources.computed``."""
        return self.computing.computed()

    def tie_breaker(self) -> int:
        """See ``Resources.tie_breaker``."""
        return secrets.randbits(64)

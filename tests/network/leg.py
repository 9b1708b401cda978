"""The relay's end of a leg in the simulated network: one port, one of our agents."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.ice.agent import Agent
from relay.ice.credentials import Credentials
from relay.ice.outputs import ConsentLost, Forgotten, Output, Path, Refused, Selected, Send, Usable
from relay.ice.stun import Address, is_stun
from tests.network.world import Network

PORT = 0


@dataclass
class Leg:
    """Accepts media from validated sources, sends it where the agent says, as calls do."""

    network: Network
    at: Address
    agent: Agent
    says_alive: bool = False
    """Accepted media is authenticated, and the agent is told so."""
    chosen: Address | None = None
    moves: list[tuple[float, Address]] = field(default_factory=list)
    """Every selection, and when."""
    lost: list[float] = field(default_factory=list)
    """When consent was lost."""
    forgotten: list[Address] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    heard: list[tuple[float, Address]] = field(default_factory=list)
    """Media that was accepted."""
    strange: int = 0
    """Media that was not."""
    checks: int = 0
    """Requests of ours and repeats of them."""
    _wake_at: float | None = None

    def __post_init__(self) -> None:
        self.network.bind(self.at, self.receive)

    @property
    def connected(self) -> bool:
        return PORT in self.agent.selected

    def answered(self, remote: Credentials, lite: bool = False) -> None:
        """The peer's credentials came by SDP."""
        self.act(self.agent.set_remote(remote, self.network.now, lite))

    def check(self, to: Address) -> None:
        self.act(self.agent.check(Path(PORT, to), self.network.now))

    def talk(self) -> None:
        """Send media from now on."""
        self.network.every(0.02, self._send_media)

    def _send_media(self) -> None:
        if self.chosen is not None:
            self.network.send(self.at, self.chosen, b"\x80 media")

    def receive(self, source: Address, datagram: bytes) -> None:
        path = Path(PORT, source)
        if is_stun(datagram):
            self.act(self.agent.received(path, datagram, self.network.now))
        elif path not in self.agent.validated:
            self.strange += 1
        else:
            self.heard.append((self.network.now, source))
            if self.says_alive:
                self.act(self.agent.alive(path, self.network.now))

    def act(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Send(path, datagram):
                    self.checks += datagram[:2] == b"\x00\x01"
                    self.network.send(self.at, path.remote, datagram)
                case Usable(path) if self.chosen is None:
                    self.chosen = path.remote
                case Selected(path):
                    self.chosen = path.remote
                    self.moves.append((self.network.now, path.remote))
                case ConsentLost():
                    self.chosen = None
                    self.lost.append(self.network.now)
                case Forgotten(path):
                    self.forgotten.append(path.remote)
                case Refused(reason):
                    self.refused.append(reason)
        self._plan()

    def _plan(self) -> None:
        deadline = self.agent.deadline
        if deadline is not None and (self._wake_at is None or deadline < self._wake_at):
            self._wake_at = deadline
            self.network.at(deadline, self._wake)

    def _wake(self) -> None:
        self._wake_at = None
        deadline = self.agent.deadline
        due = deadline is not None and deadline <= self.network.now
        self.act(self.agent.timeout(self.network.now) if due else [])

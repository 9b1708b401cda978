"""A registry of calls without sockets: numbers for ports, a dictionary for the plane."""

from __future__ import annotations

import enum
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.calls.commands import Outcome, execute
from relay.calls.interfaces import Interfaces
from relay.calls.registry import Registry, Times
from relay.calls.report import Readings, Traffic
from relay.calls.resources import LocalAddress, LocalPort, OutOfPorts
from relay.calls.timers import Timers
from relay.dtls.association import Job
from relay.dtls.identity import Identity
from relay.forward.rule import Address, Change, Drop, Rule
from relay.ice.credentials import Credentials
from relay.ng.request import parse
from relay.srtp.profiles import PROFILES, MasterKey, Profile
from sdp.media import connection
from sdp.session import Session

RELAY = "192.0.2.1"
RELAY6 = "2001:db8::1"
ALICE = "198.51.100.1"
BOB = "203.0.113.2"
CAROL = "203.0.113.3"
UNIX = 1_800_000_000.0

IDENTITY = Identity.create(UNIX)

PLAIN = (LocalAddress("default", RELAY, RELAY), LocalAddress("default", RELAY6, RELAY6))


@dataclass
class Box:
    """Stands for the machine: counts what is open, and can run out."""

    limit: int = 1000
    usable: frozenset[str] = frozenset(profile.name for profile in PROFILES)
    ports: dict[int, LocalPort] = field(default_factory=dict)
    rules: dict[int, Rule] = field(default_factory=dict)
    allocated: set[int] = field(default_factory=set)
    tos: dict[int, int] = field(default_factory=dict)
    sent: list[tuple[int, Address, bytes]] = field(default_factory=list)
    keys: dict[int, tuple[Profile, MasterKey, MasterKey]] = field(default_factory=dict)
    replaced: dict[int, int | None] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    idle: bool = False
    overloaded: bool = False
    _handles: itertools.count[int] = field(default_factory=itertools.count)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(30000, 2))

    def open(self, at: LocalAddress, count: int, tos: int, worker: int) -> list[LocalPort]:
        if len(self.ports) + count > self.limit:
            raise OutOfPorts("the range is empty", exhausted=True)
        first = next(self._numbers)
        opened = [LocalPort(next(self._handles), at, first + i) for i in range(count)]
        for port in opened:
            self.ports[port.handle] = port
            self.tos[port.handle] = tos
        return opened

    def close(self, *ports: LocalPort) -> None:
        for port in ports:
            del self.ports[port.handle]

    def retag(self, port: LocalPort, tos: int) -> None:
        self.tos[port.handle] = tos

    def allocate_rule(self) -> int:
        rule = next(i for i in itertools.count() if i not in self.allocated)
        self.allocated.add(rule)
        return rule

    def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Drop):
                self.allocated.remove(change.id)
                self.rules.pop(change.id, None)
            else:
                self.rules[change.id] = change

    def send(self, port: int, remote: Address, datagram: bytes) -> None:
        self.sent.append((port, remote, datagram))

    def credentials(self) -> Credentials:
        number = next(self._handles)
        return Credentials(f"ufrag{number:03}", f"password-of-26-characters-{number:03}"[:26])

    def tie_breaker(self) -> int:
        return 1 << 63

    def identity(self) -> Identity:
        return IDENTITY

    def suites(self) -> frozenset[str]:
        return self.usable

    def random_key(self, length: int) -> bytes:
        return next(self._handles).to_bytes(2, "big") * (length // 2)

    def open_keys(
        self, profile: Profile, receive: MasterKey, send: MasterKey, after: int | None = None
    ) -> int:
        keys = next(self._handles)
        self.keys[keys] = (profile, receive, send)
        self.replaced[keys] = after
        return keys

    def close_keys(self, keys: int) -> None:
        del self.keys[keys]

    def compute(self, job: Job) -> bool:
        if self.overloaded and job.optional:
            return False
        self.jobs.append(job)
        return True

    def computed(self) -> list[Job]:
        """At once, unless ``idle``: then whatever was handed out waits."""
        done, self.jobs = ([], self.jobs) if self.idle else (self.jobs, [])
        for job in done:
            job.run()
        return done

    def rule_at(self, number: int) -> Rule:
        """The only rule at a local port number."""
        (rule,) = self.rules_at(number)
        return rule

    def rules_at(self, number: int) -> list[Rule]:
        """The rules at a local port number."""
        handles = {port.handle for port in self.ports.values() if port.number == number}
        return [rule for rule in self.rules.values() if rule.port in handles]

    def number_of(self, rule: int) -> int:
        """The local port number of a rule."""
        return self.ports[self.rules[rule].port].number


class Desk:
    """Where offers and answers are handed in."""

    def __init__(self, addresses: Sequence[LocalAddress] = PLAIN, timers: Timers | None = None) -> None:
        self.box = Box()
        self.now = 1000.0
        self.last_packet: dict[int, float] = {}
        self.registry = Registry(
            self.box,
            Interfaces(tuple(addresses), range(30000, 40000)),
            timers or Timers(),
            instance="relay-one",
        )

    def command(self, name: str, **options: Any) -> Outcome:
        message = {"command": name, **{key.replace("_", "-"): value for key, value in options.items()}}
        readings = Readings(lambda rule: Traffic(), lambda monotonic: monotonic + UNIX)
        return execute(parse(message), self.registry, Times(self.now, self.now + UNIX), readings)

    def offer(self, sdp: str, from_tag: str = "A", call_id: str = "call", **options: Any) -> Session:
        outcome = self.command("offer", sdp=sdp, call_id=call_id, from_tag=from_tag, **options)
        return Session.parse(outcome.reply["sdp"])

    def answer(
        self, sdp: str, to_tag: str = "B", from_tag: str = "A", call_id: str = "call", **options: Any
    ) -> Session:
        outcome = self.command(
            "answer", sdp=sdp, call_id=call_id, from_tag=from_tag, to_tag=to_tag, **options
        )
        return Session.parse(outcome.reply["sdp"])

    def handshakes_to(self, peer: Address) -> int:
        """DTLS datagrams sent to ``peer``: until it answers, each is a ClientHello."""
        return sum(remote == peer and datagram[0] == 22 for _, remote, datagram in self.box.sent)

    def tick(self, seconds: float) -> list[tuple[str, str]]:
        self.now += seconds
        return self.registry.tick(self.now, lambda rule: self.last_packet.get(rule, 0.0))


def remembered(thing: Any) -> Any:
    """Everything that there is in a call, agents and passers included, to be compared."""
    match thing:
        case enum.Enum() | Identity():
            return thing
        case dict():
            return {key: remembered(value) for key, value in thing.items()}
        case list() | tuple() | deque():
            return [remembered(one) for one in thing]
    names = {name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())}
    names |= getattr(thing, "__dict__", {}).keys()
    if callable(thing) or not names:
        return thing
    return {name: remembered(getattr(thing, name)) for name in sorted(names)}


def sdp(host: str = ALICE, port: int = 10000, *attributes: str, protocol: str = "RTP/AVP") -> str:
    """One audio media."""
    family = "IP6" if ":" in host else "IP4"
    lines = [
        "v=0",
        f"o=user 1 1 IN {family} {host}",
        "s=call",
        f"c=IN {family} {host}",
        "t=0 0",
        f"m=audio {port} {protocol} 0",
        *(f"a={attribute}" for attribute in attributes),
    ]
    return "\r\n".join([*lines, ""])


ICE = (
    "ice-ufrag:abcd",
    "ice-pwd:abcdefghijklmnopqrstuv",
    "candidate:1 1 udp 2130706431 10.0.0.5 40000 typ host",
)


def told(session: Session, index: int = 0) -> Address:
    """Where a description says that media is to be sent."""
    media = session.medias[index]
    found = connection(session, media)
    assert found is not None
    return found.address, media.port

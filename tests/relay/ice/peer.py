"""The peer of an agent under test: what it sends, what it answers."""

from __future__ import annotations

import itertools

from relay.ice import stun
from relay.ice.agent import Agent
from relay.ice.credentials import Credentials
from relay.ice.outputs import Output, Path, Selected, Send
from relay.ice.stun import Class, Message

OURS = Credentials("ours", "our-password-of-22-chars")
THEIRS = Credentials("peer", "its-password-of-22-chars")
RTP = 1
HOME = Path(RTP, ("192.0.2.1", 40000))
MOBILE = Path(RTP, ("198.51.100.1", 50000))
STRANGER = Path(RTP, ("203.0.113.6", 6666))
LOW, HIGH = 1, 2**64 - 1
counter = itertools.count()


def agent(
    controlling: bool = False, lite: bool = False, answered: bool = True, tie_breaker: int = 2**63
) -> Agent:
    agent = Agent(OURS, controlling, lite, tie_breaker=tie_breaker)
    if answered:
        agent.set_remote(THEIRS, 0.0)
    return agent


def check(
    nominate: bool = False,
    controlling: bool = True,
    username: str = "ours:peer",
    key: bytes = OURS.key,
    tie_breaker: int = LOW,
    priority: int = 1,
) -> bytes:
    """What the peer sends."""
    transaction = next(counter).to_bytes(12, "big")
    return stun.request(transaction, username, key, priority, tie_breaker, controlling, nominate)


def sent(outputs: list[Output], type: Class) -> list[tuple[Path, Message]]:
    datagrams = [(output.path, stun.parse(output.datagram)) for output in outputs if isinstance(output, Send)]
    return [(path, message) for path, message in datagrams if message.type is type]


def events(outputs: list[Output]) -> list[Output]:
    return [output for output in outputs if not isinstance(output, Send)]


def answer(outputs: list[Output], key: bytes = THEIRS.key) -> bytes:
    """The peer's answer to the only check among ``outputs``."""
    [(_, request)] = sent(outputs, Class.REQUEST)
    return stun.success(request, ("192.0.2.99", 9), key)


def selected(controlling: bool = False) -> Agent:
    """An agent whose path to HOME was selected at 0.05 s."""
    it = agent(controlling)
    outputs = it.received(HOME, check(nominate=not controlling, controlling=not controlling), now=0.0)
    assert Selected(HOME) in it.received(HOME, answer(outputs), now=0.05)
    return it

"""The ng protocol over UDP: datagrams in, replies out.

One datagram is one command. A repeated one gets the stored reply; whatever is
wrong with a datagram, the answer says so, and the next one is served.

What a log line of a refusal calls ``flood`` names its kind: the daemon's log
shows the first of many.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.calls.commands import COMMANDS, Outcome
from relay.calls.explain import without_ice
from relay.control.replies import ReplyCache
from relay.forward.rule import Address
from relay.ng.bencode import Encodable
from relay.ng.errors import REWRITE_FAILED, NgError
from relay.ng.message import Encoding, decode, encode_reply, encoding_of, error_reply, split
from relay.ng.request import Request, parse

log = logging.getLogger("icerelay.ng")

LARGEST_DATAGRAM = 65507
"""Bytes of UDP payload over IPv4 (RFC 768, RFC 791)."""

INTERNAL_ERROR = "Internal error"

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds of the latency histogram, seconds: a proxy repeats a command after 0.5 to 1 s."""

MAX_PROXIES = 64
"""Proxies counted by name; a port scan must not fill the memory."""

LONGEST_ID = 128
"""Characters of a Call-ID or tag in the log."""

QUIET = frozenset(("ping", "delete", "query", "list", "advice", "feedback", "forget"))
"""Commands whose refusal costs no call its media: nobody has to act."""


@dataclass(slots=True)
class Spent:
    """How often a command came from one proxy, and how long it took."""

    count: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))

    def add(self, seconds: float) -> None:
        """One more."""
        self.count += 1
        self.seconds += seconds
        place = next((i for i, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self.buckets[place] += 1


@dataclass(slots=True)
class NgServer:
    """Answers datagrams. ``execute`` carries out one request and may raise ``NgError``."""

    execute: Callable[[Request], Outcome]
    clock: Callable[[], float] = time.monotonic
    cache: ReplyCache = field(default_factory=ReplyCache)
    spent: dict[tuple[str, str], Spent] = field(default_factory=dict)
    """By IP address of the proxy, and command."""
    errors: Counter[str] = field(default_factory=Counter)
    """Commands answered with an error, by IP address of the proxy."""
    unanswerable: int = 0
    """Datagrams without a cookie."""
    repeats: int = 0
    """Datagrams answered from the cache."""
    is_own: Callable[[Address], bool] = lambda peer: False
    """Whether a datagram came from a media port of ours: then somebody had the relay send it."""
    own: int = 0
    """Datagrams that did, and were dropped."""

    def datagram(self, datagram: bytes, peer: Address) -> bytes | None:
        """The reply to one datagram; None where there is nobody to answer."""
        if self.is_own(peer):
            self._drop_own()
            return None
        parts = split(datagram)
        if parts is None:
            self.unanswerable += 1
            return None
        cookie, payload = parts
        key = (peer, cookie)
        kept = self.cache.find(key, self.clock())
        if kept is not None:
            self.repeats += 1
            return kept
        reply = self._answer(cookie, payload, peer)
        self.cache.keep(key, reply, self.clock())
        return reply

    def _drop_own(self) -> None:
        """Nobody is answered either: the reply would go to the caller."""
        self.own += 1
        if self.own == 1:
            log.error("a caller had the relay send to its own ng socket: dropped, and counted from now on")

    def _answer(self, cookie: bytes, payload: bytes, peer: Address) -> bytes:
        started = self.clock()
        encoding = encoding_of(payload)
        command, request = "invalid", None
        try:
            message, encoding = decode(payload)
            request = parse(message)
            command = request.command if request.command in COMMANDS else "unknown"
            outcome = self.execute(request)
            self._remark(request, outcome)
            reply = _fitting(cookie, outcome.reply, encoding)
        except NgError as error:
            kind = {"flood": f"{error.reason} {peer[0]}"}
            level = logging.INFO if request is not None and request.command in QUIET else logging.WARNING
            log.log(level, "refused: %s (from %s:%d)%s", error.reason, *peer[:2], _about(request), extra=kind)
            reply = self._failed(cookie, error.reason, encoding, peer)
        except Exception as error:
            kind = {"flood": f"{type(error).__name__} {peer[0]}"}
            about = (*peer[:2], _about(request))
            log.exception("a command from %s:%d failed inside the relay%s", *about, extra=kind)
            reply = self._failed(cookie, INTERNAL_ERROR, encoding, peer)
        self._count(peer[0], command, self.clock() - started)
        return reply

    def _failed(self, cookie: bytes, reason: str, encoding: Encoding, peer: Address) -> bytes:
        self.errors[peer[0] if peer[0] in self.errors or len(self.errors) < MAX_PROXIES else "others"] += 1
        return encode_reply(cookie, error_reply(reason), encoding)

    def _count(self, proxy: str, command: str, seconds: float) -> None:
        if (proxy, command) not in self.spent and len({name for name, _ in self.spent}) >= MAX_PROXIES:
            proxy = "others"
        self.spent.setdefault((proxy, command), Spent()).add(seconds)

    def _remark(self, request: Request, outcome: Outcome) -> None:
        """Log what was not understood: of each thing the first, and now and then how many there were."""
        ignored = (f"not supported yet, ignored: {word}" for word in request.ignored)
        for text in (*request.warnings, *ignored, *outcome.notes):
            kind = {"flood": f"{request.command} {text}"}
            log.warning("%s: %s%s", request.command, text, _ids(request), extra=kind)


def _about(request: Request | None) -> str:
    """Which command of which call a line is about."""
    return f" command={request.command[:LONGEST_ID]}{_ids(request)}" if request is not None else ""


def _ids(request: Request) -> str:
    named = {"call-id": request.call_id, "from-tag": request.from_tag, "to-tag": request.to_tag}
    return "".join(f" {name}={value[:LONGEST_ID]}" for name, value in named.items() if value)


def _fitting(cookie: bytes, reply: dict[str, Encodable], encoding: Encoding) -> bytes:
    """The reply as one datagram; a report that is too long loses its details, those of ICE first."""
    datagram = encode_reply(cookie, reply, encoding)
    if len(datagram) <= LARGEST_DATAGRAM:
        return datagram
    if "tags" in reply:
        shortened = without_ice(reply) | {"warning": "too long for one datagram: ICE left out"}
        datagram = encode_reply(cookie, shortened, encoding)
        if len(datagram) <= LARGEST_DATAGRAM:
            return datagram
        rest = {name: value for name, value in reply.items() if name not in ("tags", "SSRC", "result")}
        shortened = {**rest, "warning": "too long for one datagram: tags left out", "result": "ok"}
        return encode_reply(cookie, shortened, encoding)
    raise NgError(REWRITE_FAILED)

"""One measured call: signalling that takes its time, a relay that is asked, what both phones saw."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bench.ice_lab.cases import Case
from bench.ice_lab.media import STRANGER, End, Move, round_trip
from bench.ice_lab.namespaces import LabError, Namespace
from bench.ice_lab.networks import CALLER_MOVED, Network
from bench.ice_lab.servers import OPTIMIZER, Known, Relay, Treatment
from sdp.media import connection
from sdp.session import Session

SIGNALLING = 0.070
"""Seconds that an SDP takes from phone to phone."""
STARTING = 30.0
"""Seconds that a browser may take to start."""
ENDING = 5.0
SETTLING = 0.25
"""Seconds after a call, until nothing of it is under way any more."""
BEFORE_MOVE, AFTER_MOVE = 0.3, 1.2
STRANGE = 100
"""Packets that a stranger sends in the first second."""

_calls = itertools.count()


class CallFailed(Exception):
    """The call came to nothing; the text says at what."""


@dataclass(frozen=True)
class Outcome:
    """Seconds. ``offered``: since the caller began; ``applied``: since it was given the answer."""

    case: Case
    treatment: str
    repetition: int
    why: str | None = None
    """Why there was no media both ways within the limit; None for success."""
    to_caller: float | None = None
    to_callee: float | None = None
    offered: float | None = None
    """Both directions have media."""
    applied: float | None = None
    caller_checks: int = 0
    callee_checks: int = 0
    """Checks sent until then, or until the limit."""
    round_trip: float | None = None
    """Of media from phone to phone and back, at the end of a call that goes on."""
    move: Move | None = None
    strange: int | None = None
    """Packets of STRANGE that a stranger sent and a phone got."""
    result: str | None = None
    """What ``ICE=optimize`` came to."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class PhoneProcess:
    """The lab's end of a phone in its namespace."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count()

    @classmethod
    async def start(cls, kind: str, namespace: Namespace) -> PhoneProcess:
        process = await asyncio.create_subprocess_exec(
            *namespace.command(sys.executable, "-m", "bench.ice_lab.phone", kind),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        assert process.stdout is not None
        if not await asyncio.wait_for(process.stdout.readline(), STARTING):
            raise LabError(f"the {kind} phone does not start; what it wrote is above")
        return cls(process)

    async def ask(self, do: str, **words: object) -> dict[str, Any]:
        """Passes over replies to orders that were given up. Raises CallFailed with what the phone says."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        number = next(self._numbers)
        self._process.stdin.write(json.dumps({"number": number, "do": do, **words}).encode() + b"\n")
        await self._process.stdin.drain()
        while line := await self._process.stdout.readline():
            reply: dict[str, Any] = json.loads(line)
            if reply.get("number") == number:
                if "error" in reply:
                    raise CallFailed(reply["error"])
                return reply
        raise LabError("a phone has ended; what it wrote is above")

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), ENDING)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@dataclass(frozen=True)
class Pair:
    """Two phones of one kind; ``server`` is what they are configured with, ``stranger`` is elsewhere."""

    caller: PhoneProcess
    callee: PhoneProcess
    network: Network
    server: str
    stranger: Namespace

    @staticmethod
    async def both(caller: Awaitable[Any], callee: Awaitable[Any]) -> list[Any]:
        return list(await asyncio.gather(caller, callee))

    def known(self) -> Known:
        return Known(self.network.seen, self.network.sites)


@dataclass
class Placing:
    """One call under way."""

    case: Case
    pair: Pair
    relay: Relay | None
    mode: str
    limit: float
    start: float = 0.0
    applied: float = 0.0
    call: str = field(default_factory=lambda: f"lab-{os.getpid()}-{next(_calls)}")
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def begin(self) -> None:
        wish = {
            "dead": self.case.dead,
            "gathers": self.case.gathers,
            "blocked": self.pair.network.blocked != "nothing",
            "server": self.pair.server,
            "turn": self.pair.network.turn,
        }
        await self.pair.both(
            self.pair.caller.ask("new", controlling=True, **wish),
            self.pair.callee.ask("new", controlling=False, **wish),
        )
        self.start = time.time()

    async def signal(self) -> None:
        """Offer and answer, until the caller was given the answer."""
        offer = (await self.pair.caller.ask("offer"))["sdp"]
        await asyncio.sleep(SIGNALLING)
        answer = (await self.pair.callee.ask("answer", sdp=self._passed("offer", offer)))["sdp"]
        await asyncio.sleep(SIGNALLING)
        sdp = self._passed("answer", answer)
        if self.case.event == "stranger":
            self._tasks.append(asyncio.create_task(intrude(self.pair.stranger, sdp)))
        self.applied = time.time()
        await self.pair.caller.ask("accept", sdp=sdp)

    def _passed(self, command: str, sdp: str) -> str:
        if self.relay is None:
            return sdp
        return self.relay.rewritten(command, self.call, sdp, self.pair.known().keys(self.mode, command))

    async def talk(self) -> list[dict[str, Any]]:
        """Until both hear each other, and as long as the case goes on after that; what the phones say."""
        until = self.start + self.limit
        heard = await self.pair.both(
            self.pair.caller.ask("heard", until=until), self.pair.callee.ask("heard", until=until)
        )
        if all(end["taken"] for end in heard):
            if self.case.event == "moves":
                await asyncio.sleep(BEFORE_MOVE)
                await self.pair.caller.ask("move", to=CALLER_MOVED)
                await asyncio.sleep(AFTER_MOVE)
            await asyncio.gather(*self._tasks)
            await asyncio.sleep(max(0.0, self.applied + self.case.talk - time.time()))
        return heard

    async def seen(self) -> tuple[End, End]:
        caller, callee = await self.pair.both(self.pair.caller.ask("seen"), self.pair.callee.ask("seen"))
        return End.of(caller), End.of(callee)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pair.both(self.pair.caller.ask("end"), self.pair.callee.ask("end"))
        if self.relay is not None:
            self.relay.delete(self.call)
        await asyncio.sleep(SETTLING)


async def place(
    case: Case, treatment: Treatment, repetition: int, pair: Pair, relay: Relay | None, limit: float
) -> Outcome:
    """A call; whatever it comes to is an outcome. ``limit``: seconds from the caller's beginning."""
    placing = Placing(case, pair, relay, treatment.mode, limit)
    await placing.begin()
    try:
        async with asyncio.timeout(limit):
            await placing.signal()
        heard = await placing.talk()
        end = time.time()
        caller, callee = await placing.seen()
        result = relay.result(placing.call) if relay and treatment.mode in OPTIMIZER else None
        outcome = judged(
            case, treatment.name, repetition, (placing.start, placing.applied, end), heard, (caller, callee)
        )
        return replace(outcome, result=result)
    except TimeoutError:
        return Outcome(case, treatment.name, repetition, why="the limit was over before the answer came")
    except (CallFailed, LabError) as error:
        return Outcome(case, treatment.name, repetition, why=str(error))
    finally:
        await placing.end()


async def intrude(stranger: Namespace, sdp: str) -> None:
    """Sends RTP to where a party was told to send it, from elsewhere, for a second."""
    session = Session.parse(sdp)
    target = connection(session, session.medias[0])
    assert target is not None
    with stranger.entered():
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with own:
        for number in range(STRANGE):
            packet = struct.pack("!BBHII", 0x80, 0, number, number * 80, STRANGER) + b"\x55" * 160
            own.sendto(packet, (target.address, session.medias[0].port))
            await asyncio.sleep(1.0 / STRANGE)


def judged(
    case: Case,
    treatment: str,
    repetition: int,
    times: tuple[float, float, float],
    heard: list[dict[str, Any]],
    ends: tuple[End, End],
) -> Outcome:
    """``times``: of beginning, answer and end. ``heard`` is what the phones say, ``ends`` what was seen."""
    start, applied, end = times
    caller, callee = ends
    first = [one.first if said["taken"] else None for one, said in zip(ends, heard, strict=True)]
    to_caller, to_callee = first
    both = None if to_caller is None or to_callee is None else max(to_caller, to_callee)
    until = float("inf") if both is None else both
    silent = [name for name, at in zip(("caller", "callee"), first, strict=True) if at is None]
    reasons = {said["why"] for said in heard if said["why"]}
    why = f"no media at the {' and the '.join(silent)}" if silent else None
    return Outcome(
        case,
        treatment,
        repetition,
        why=f"{why} ({'; '.join(sorted(reasons))})" if why and reasons else why,
        to_caller=to_caller and to_caller - start,
        to_callee=to_callee and to_callee - start,
        offered=both and both - start,
        applied=both and both - applied,
        caller_checks=caller.checks_until(until),
        callee_checks=callee.checks_until(until),
        round_trip=round_trip(caller, callee, end) if case.talk and both else None,
        move=Move.of(caller, callee, CALLER_MOVED, end) if case.event == "moves" and both else None,
        strange=caller.strange + callee.strange if case.event == "stranger" else None,
    )

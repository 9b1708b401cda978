"""One measured call: signalling that takes its time, a relay that is asked, what both phones saw."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from typing import Any

from bench.ice_lab.namespaces import LabError, Namespace
from bench.ice_lab.servers import Relay

SIGNALLING = 0.070
"""Seconds that an SDP takes from phone to phone."""
STARTING = 30.0
"""Seconds that a browser may take to start."""
ENDING = 5.0
SETTLING = 0.25
"""Seconds after a call, until nothing of it is under way any more."""

_calls = itertools.count()


class CallFailed(Exception):
    """The call came to nothing; the text says at what."""


@dataclass(frozen=True)
class Case:
    """What the phones are and offer, in one network."""

    network: str
    phone: str
    dead: int = 0
    gathers: bool = True

    @property
    def name(self) -> str:
        told = "" if self.gathers else ", told not to gather"
        return f"{self.phone}, {self.dead} dead{told}" if self.dead else f"{self.phone}{told}"


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
    """Two phones of one kind; ``server`` and ``turn`` are what they are configured with."""

    caller: PhoneProcess
    callee: PhoneProcess
    server: str
    turn: tuple[int, str]

    @staticmethod
    async def both(caller: Awaitable[Any], callee: Awaitable[Any]) -> list[Any]:
        return list(await asyncio.gather(caller, callee))


async def place(
    case: Case, treatment: str, repetition: int, pair: Pair, relay: Relay | None, mode: str, limit: float
) -> Outcome:
    """A call; whatever it comes to is an outcome. ``limit``: seconds from the caller's beginning."""
    call = f"lab-{os.getpid()}-{next(_calls)}"
    wish = {"dead": case.dead, "gathers": case.gathers, "server": pair.server, "turn": pair.turn}
    await pair.both(
        pair.caller.ask("new", controlling=True, **wish), pair.callee.ask("new", controlling=False, **wish)
    )
    start = time.time()
    try:
        async with asyncio.timeout(limit):
            applied = await _signal(call, pair, relay, mode)
        seen = await pair.both(
            pair.caller.ask("heard", until=start + limit), pair.callee.ask("heard", until=start + limit)
        )
        return _judged(case, treatment, repetition, start, applied, seen)
    except TimeoutError:
        return Outcome(case, treatment, repetition, why="the limit was over before the answer came")
    except (CallFailed, LabError) as error:
        return Outcome(case, treatment, repetition, why=str(error))
    finally:
        await pair.both(pair.caller.ask("end"), pair.callee.ask("end"))
        if relay is not None:
            relay.delete(call)
        await asyncio.sleep(SETTLING)


async def _signal(call: str, pair: Pair, relay: Relay | None, mode: str) -> float:
    """Offer and answer; returns when the caller was given the answer."""

    def passed(command: str, sdp: str) -> str:
        return relay.rewritten(command, call, sdp, mode) if relay else sdp

    offer = (await pair.caller.ask("offer"))["sdp"]
    await asyncio.sleep(SIGNALLING)
    answer = (await pair.callee.ask("answer", sdp=passed("offer", offer)))["sdp"]
    await asyncio.sleep(SIGNALLING)
    sdp = passed("answer", answer)
    applied = time.time()
    await pair.caller.ask("accept", sdp=sdp)
    return applied


def _judged(
    case: Case, treatment: str, repetition: int, start: float, applied: float, seen: list[dict[str, Any]]
) -> Outcome:
    caller, callee = seen
    times = [end["media"] for end in seen if end["media"] is not None]
    heard = max(times) if len(times) == 2 else None
    until = heard if heard is not None else float("inf")
    silent = [name for name, end in zip(("caller", "callee"), seen, strict=True) if end["media"] is None]
    reasons = {end["why"] for end in seen if end["why"]}
    why = f"no media at the {' and the '.join(silent)}" if silent else None
    return Outcome(
        case,
        treatment,
        repetition,
        why=f"{why} ({'; '.join(sorted(reasons))})" if why and reasons else why,
        to_caller=caller["media"] and caller["media"] - start,
        to_callee=callee["media"] and callee["media"] - start,
        offered=heard and heard - start,
        applied=heard and heard - applied,
        caller_checks=sum(at <= until for at in caller["checks"]),
        callee_checks=sum(at <= until for at in callee["checks"]),
    )

"""The ng commands: a request in, a reply out."""

from __future__ import annotations

from relay.calls.explain import explain
from relay.calls.registry import Described, Registry, Times
from relay.calls.report import Readings, Reply, call_report, times_of
from relay.calls.state import Call
from relay.ng.errors import BAD_LIMIT, NO_REPORT, NOT_DELETED, UNKNOWN_COMMAND, NgError
from relay.ng.request import Request
from sdp.values import valueclass

COMMANDS = frozenset(
    {"ping", "offer", "answer", "delete", "query", "list", "advice", "feedback", "forget", "memory"}
)
"""The last four are about networks; the daemon carries them out."""

LIST_LIMIT = 32
"""Calls that ``list`` names where the proxy sets no limit."""


@valueclass
class Outcome:
    """A reply, and what the log should know."""

    reply: Reply
    notes: tuple[str, ...] = ()
    decided: str = ""
    """Of an offer under ``ICE=optimize``: the result, and what became of the candidates."""


def execute(request: Request, registry: Registry, times: Times, readings: Readings) -> Outcome:
    """Carry out one command. Raises ``NgError`` with the exact ``error-reason``."""
    match request.command:
        case "ping":
            return Outcome({"result": "pong"})
        case "offer" if "fragment" in request.flags:
            return _fragment(request, request.from_tag, registry, times)
        case "answer" if "fragment" in request.flags:
            return _fragment(request, request.to_tag, registry, times)
        case "offer":
            return _described(registry.offer(request, times))
        case "answer":
            return _described(registry.answer(request, times))
        case "delete":
            return _delete(request, registry, times, readings)
        case "query":
            return _query(request, registry, readings)
        case "list":
            return _list(request, registry)
    raise NgError(UNKNOWN_COMMAND)


def _described(described: Described) -> Outcome:
    reply = {"sdp": described.sdp, "result": "ok"}
    return Outcome(reply, described.notes, described.decided)


def _fragment(request: Request, sender: str | None, registry: Registry, times: Times) -> Outcome:
    """Candidates that come later. They go to the other party where the parties check each other.

    Elsewhere that has its own ICE with us, or has none. Where it misses some of our
    candidates, the INFO may take these to it instead.
    """
    missed = registry.fragment(request, sender, times)
    if missed:
        return Outcome({"sdp": missed, "ice-widen": missed, "ice-fragment": "passed", "result": "ok"})
    text = registry.fragment_for_the_other(request, sender)
    if text is None:
        return Outcome({"ice-fragment": "consumed", "result": "ok"})
    return Outcome({"sdp": text, "ice-fragment": "passed", "result": "ok"})


def _delete(request: Request, registry: Registry, times: Times, readings: Readings) -> Outcome:
    found = registry.find_for_delete(request)
    if found is None:
        if "fatal" in request.flags:
            raise NgError(NOT_DELETED)
        return Outcome({"warning": NOT_DELETED, "result": "ok"})
    report = {} if "fast" in request.flags else _report(found, registry, readings)
    registry.delete(request, times)
    return Outcome({**report, "result": "ok"})


def _report(call: Call, registry: Registry, readings: Readings) -> Reply:
    """Whatever is wrong with it, the call ends and its ports are free."""
    try:
        return call_report(call, readings)
    except Exception as error:
        registry.fault(call, error)
        return {**times_of(call), "warning": NO_REPORT}


def _query(request: Request, registry: Registry, readings: Readings) -> Outcome:
    call = registry.find(request.call_id)
    tag = request.to_tag or request.from_tag or None
    report = call_report(call, readings, tag)
    explain(report["tags"], call, tag, registry.optimizer.hashed)
    return Outcome({**report, "result": "ok"})


def _list(request: Request, registry: Registry) -> Outcome:
    limit = LIST_LIMIT if request.limit is None else request.limit
    if limit < 0:
        raise NgError(BAD_LIMIT)
    return Outcome({"calls": list(registry.calls)[:limit], "result": "ok"})

"""What the person at the terminal sees. Plain ASCII; colour only on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import click

from relay.demo.compare import Fate, Row, candidates
from relay.demo.figures import Flow, Latency
from relay.forward.rule import Address

NARROWEST, WIDEST = 72, 180
"""Columns. Below, candidates take three lines each; above, no line of the offer gains from more."""
PIPED = 120
"""Columns where nobody says how wide the reader's window is."""
FIRST_COLUMN = 29
"""Columns of the tables' row names."""

COLOURS = {Fate.CHANGED: "yellow", Fate.REMOVED: "red", Fate.ADDED: "green"}


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The addresses of one phone's media, as everybody knows them."""

    name: str
    at: Address
    says: Address
    told: Address
    heard_from: Sequence[Address]
    seen_at: Address | None


class Screen:
    """Writes to standard output as the call goes on."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        columns = shutil.get_terminal_size((PIPED, 24)).columns
        self._width = min(max(columns, NARROWEST), WIDEST)

    def started(self, ready: str, pid: int) -> None:
        """The relay runs."""
        self._title("A relay of its own, on this machine's loopback")
        self._text(f"{ready} (process {pid})")

    def offer(self, rows: Sequence[Row], seconds: float) -> None:
        """The relay has rewritten the offer."""
        self._title(f"The offer (ICE=force): rewritten in {seconds * 1e3:.1f} ms")
        column = (self._width - 5) // 2
        self._line("  " + _beside("what the caller says", "what the callee gets", column), bold=True)
        for row in rows:
            self._row(row, column)
        self._line()
        self._text(_candidates(rows))

    def talking(self, seconds: float) -> None:
        """Both phones are connected."""
        self._title(f"Media both ways for {seconds:g} s, a packet every 20 ms")

    def places(self, phones: Sequence[Whereabouts]) -> None:
        """Which ports were used."""
        self._line()
        self._heading("addresses and ports", [phone.name for phone in phones])
        self._values("its socket", (_at(phone.at) for phone in phones))
        self._values("its SDP says", (_at(phone.says) for phone in phones))
        self._values("the relay sees it at", (_at(phone.seen_at) for phone in phones))
        self._values("was told to send to", (_at(phone.told) for phone in phones))
        self._values("its packets came from", (_all(phone.heard_from) for phone in phones))
        self._line()

    def flows(self, flows: Sequence[Flow]) -> None:
        """What arrived, and how fast."""
        self._heading("packets", [flow.name for flow in flows])
        self._values("sent", (str(flow.sent) for flow in flows))
        self._values("counted by the relay", (_counted(flow) for flow in flows))
        self._values("received", (str(flow.received) for flow in flows))
        self._values("lost", (f"{flow.loss:.1%}" for flow in flows))
        self._line()
        self._heading("latency, median and p99", [flow.name for flow in flows])
        self._values("through the relay", (_milliseconds(flow.relayed) for flow in flows))
        self._values("past it, for comparison", (_milliseconds(flow.direct) for flow in flows))
        self._values("added by the relay", (_milliseconds(flow.added) for flow in flows))

    def verdict(self, good: bool, sentence: str) -> None:
        """The last line."""
        self._line()
        self._text(f"{'OK' if good else 'FAILED'}: {sentence}", colour="green" if good else "red", bold=True)

    def log(self, lines: Sequence[str]) -> None:
        """What the relay wrote, where that may explain a failure."""
        for line in lines:
            click.echo(f"relay: {line}", err=True)

    def failure(self, reason: str) -> None:
        """The call came to nothing."""
        click.echo(f"icerelay demo: {reason}", err=True)

    def _row(self, row: Row, column: int) -> None:
        """One line of the offer; a reason stands where the other side has nothing."""
        before, after = _cell(row.before, row.fate, column), _cell(row.after, row.fate, column)
        if row.fate is Fate.REMOVED and row.reason:
            after = _wrapped(f"<- removed: {row.reason}", column, "   ")
        elif row.fate is Fate.ADDED and row.reason:
            before = _wrapped(f"-> added: {row.reason}", column, "   ")
        elif row.reason:
            after += _wrapped(f"<- kept: {row.reason}", column, "   ")
        height = max(len(before), len(after))
        marks = [row.fate.value] + [" "] * (height - 1)
        for mark, left, right in zip(marks, _filled(before, height), _filled(after, height), strict=True):
            self._line(f"{mark} {_beside(left, right, column)}", colour=COLOURS.get(row.fate))

    def _title(self, text: str) -> None:
        self._line()
        self._line(f"== {text} ".ljust(self._width, "="), bold=True)

    def _heading(self, name: str, columns: Sequence[str]) -> None:
        self._line(_table_row(name, columns), bold=True)

    def _values(self, name: str, values: Iterable[str]) -> None:
        self._line(_table_row(f"  {name}", values))

    def _text(self, text: str, colour: str | None = None, bold: bool = False) -> None:
        for line in _wrapped(text, self._width, ""):
            self._line(line, colour, bold)

    def _line(self, text: str = "", colour: str | None = None, bold: bool = False) -> None:
        styled = click.style(text.rstrip(), fg=colour, bold=bold or None) if self._colour else text.rstrip()
        click.echo(styled, color=self._colour)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


def _cell(line: str | None, fate: Fate, width: int) -> list[str]:
    """A line of SDP: cut short where nothing happened to it, else whole."""
    if line is None:
        return []
    if fate is Fate.SAME and len(line) > width and not line.startswith("a=candidate:"):
        return [line[: width - 3] + "..."]
    return _wrapped(line, width, "   ")


def _filled(lines: list[str], height: int) -> list[str]:
    return lines + [""] * (height - len(lines))


def _beside(left: str, right: str, column: int) -> str:
    return f"{left.ljust(column)} | {right}"


def _candidates(rows: Sequence[Row]) -> str:
    kept, removed = (candidates(rows, fate) for fate in (Fate.SAME, Fate.REMOVED))
    added = candidates(rows, Fate.ADDED)
    ours = f"{added} of the relay added"
    return f"{kept + removed} candidates of the caller: {kept} kept, {removed} removed; {ours}."


def _table_row(name: str, values: Iterable[str]) -> str:
    return name.ljust(FIRST_COLUMN) + "".join(value.ljust(24) for value in values)


def _at(address: Address | None) -> str:
    return "unknown" if address is None else f"{address[0]}:{address[1]}"


def _all(addresses: Sequence[Address]) -> str:
    return ", ".join(map(_at, addresses)) or "nowhere"


def _counted(flow: Flow) -> str:
    if flow.counted is None:
        return "unknown"
    refused = f", {flow.counted.errors} refused" if flow.counted.errors else ""
    return f"{flow.counted.packets}{refused}"


def _milliseconds(latency: Latency | None) -> str:
    if latency is None:
        return "-"
    return f"{latency.median * 1e3:.3f} / {latency.p99 * 1e3:.3f} ms"

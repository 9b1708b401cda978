"""Command line over file over defaults: entries in, ``Settings`` and notices out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.config import files, rtpengine
from relay.config.files import Entry
from relay.config.options import BY_NAME, Machine, machine_addresses, outward, suggestion
from relay.config.settings import ConfigError, Interface, Settings


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and what the operator should read once at start (a line each)."""

    settings: Settings
    notices: tuple[str, ...]


def load(options: Mapping[str, Sequence[str]], machine: Machine | None = None) -> Loaded:
    """Settings from the options of a command line and the file they name.

    ``options`` maps long names without dashes to the values in order, every
    value as text; ``config-file`` and ``config-section`` are among them.
    Raises ``ConfigError``.
    """
    machine = machine_addresses() if machine is None else machine
    written = _file_entries(options)
    given = [
        Entry(name, text) for name, texts in options.items() if name not in _FILE_OPTIONS for text in texts
    ]
    notices: list[str] = []
    for entry in given + written:
        _known(entry, notices)
    notices += _ignored(given + written)
    chosen = _by_option(written) | _by_option(given)
    values = {name: _value(name, entries, machine) for name, entries in chosen.items()}
    interfaces: tuple[Interface, ...] = values.pop("interface", ())
    if not interfaces:
        mine = ", ".join(outward(machine)) or "none but loopback"
        raise ConfigError(
            "no interface: say which address media goes through;"
            f" write --interface={suggestion(machine)} (this machine has: {mine})"
        )
    settings = Settings(interfaces, **{name.replace("-", "_"): value for name, value in values.items()})
    _check_ports(settings, chosen)
    _check_memory(settings, chosen)
    return Loaded(settings, (*notices, *_remarks(settings)))


_FILE_OPTIONS = ("config-file", "config-section")


def _file_entries(options: Mapping[str, Sequence[str]]) -> list[Entry]:
    paths = options.get("config-file", ())
    sections = options.get("config-section", ())
    if not paths:
        return []
    return files.read(paths[-1], sections[-1] if sections else None)


def _known(entry: Entry, notices: list[str]) -> None:
    """Refuse a name that nobody knows; in an rtpengine.conf only mention it, as rtpengine ignores it too."""
    if entry.name in BY_NAME or entry.name in rtpengine.NAMES:
        return
    close = difflib.get_close_matches(entry.name, [*BY_NAME, *rtpengine.NAMES], n=1)
    hint = f"did you mean {close[0]}?" if close else "see icerelay serve --help"
    if not entry.line or files.is_toml(entry.path):
        raise entry.error(f"no such option; {hint}")
    notices.append(f"{entry.path}:{entry.line}: {entry.name}: no such option, ignored; {hint}")


def _ignored(entries: Iterable[Entry]) -> list[str]:
    """One line that names what rtpengine has and we do not."""
    names = dict.fromkeys(e.name for e in entries if e.name in rtpengine.NAMES and e.name not in BY_NAME)
    return [f"ignored, options of rtpengine that icerelay does not have: {', '.join(names)}"] if names else []


def _by_option(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Our entries by option name, aliases resolved; a list option has an entry per item."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        option = BY_NAME.get(entry.name)
        if option is None:
            continue
        if not option.many:
            found[option.name] = [entry]
            continue
        items = [item.strip() for item in entry.text.split(";")]
        kept = [Entry(entry.name, item, entry.path, entry.line) for item in items if item]
        found.setdefault(option.name, []).extend(kept or [entry])
    return found


def _value(name: str, entries: list[Entry], machine: Machine) -> Any:
    option = BY_NAME[name]
    parsed = []
    for entry in entries:
        try:
            parsed.append(option.parse(entry.text, machine))
        except ValueError as error:
            raise entry.error(str(error)) from None
    return tuple(dict.fromkeys(item for items in parsed for item in items)) if option.many else parsed[0]


def _check_ports(settings: Settings, chosen: Mapping[str, list[Entry]]) -> None:
    low, high = settings.port_min, settings.port_max
    first_pair = low + low % 2
    if first_pair < high:
        return
    entry = (chosen.get("port-min") or chosen["port-max"])[0]
    if entry.name == "port-max":
        raise entry.error(f"leaves no pair of ports above port-min ({low}); write {first_pair + 1} or more")
    raise entry.error(f"leaves no pair of ports up to port-max ({high}); write a number below {high}")


def _check_memory(settings: Settings, chosen: Mapping[str, list[Entry]]) -> None:
    """Relays that share a memory must hash alike."""
    if "://" in settings.memory and not settings.memory_secret:
        raise chosen["memory"][0].error(
            "a shared memory needs memory-secret: one file, the same for all relays"
        )


def _remarks(settings: Settings) -> list[str]:
    """What is allowed and still likely to surprise."""
    if any(host in ("0.0.0.0", "::") for host, _ in settings.listen_ng):
        return ["listen-ng is open on every address: whoever reaches it controls calls; name an address"]
    return []

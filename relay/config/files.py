"""Configuration files: TOML, and rtpengine.conf as it is.

Both become entries: a key, its value as text, and where it stands.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relay.config.settings import ConfigError

RTPENGINE_SECTION = "rtpengine"

POLICY = "policy"
"""The only table inside the settings: ``[policy.NAME]``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as somebody wrote it. Line 0 is the command line."""

    name: str
    text: str
    path: str = ""
    line: int = 0

    def error(self, reason: str) -> ConfigError:
        """What to raise when this entry cannot be used."""
        if self.line:
            return ConfigError(f"{self.path}:{self.line}: {self.name} = {self.text}: {reason}")
        return ConfigError(f"--{self.name}={self.text}: {reason}")


def is_toml(path: str) -> bool:
    """Files that end in .toml are TOML, all others are read as rtpengine.conf."""
    return path.endswith(".toml")


def read(path: str, section: str | None) -> list[Entry]:
    """The entries of one section. Raises ``ConfigError``."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise ConfigError(
            f"{path}: {reason}; write --config-file=FILE with a file that can be read"
        ) from None
    if is_toml(path):
        return list(_toml_entries(path, text, section))
    return _section_entries(path, text, section or RTPENGINE_SECTION)


def _section_entries(path: str, text: str, wanted: str) -> list[Entry]:
    """One section of a ``key = value`` file; lines that begin with # or ; are comments.

    A value is the rest of its line, unless it begins with a number (``_NUMBER``).
    """
    entries: list[Entry] = []
    sections: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            sections.append(line[1:-1])
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise ConfigError(
                f"{path}:{number}: {line}: not a setting; write key = value, or # before a comment"
            )
        if not sections:
            raise ConfigError(
                f"{path}:{number}: {line}: stands before any section; write [{wanted}] above it"
                " (a TOML file needs a name that ends in .toml)"
            )
        if sections[-1] == wanted:
            entries.append(Entry(key.strip(), _value(value.strip()), path, number))
    if wanted not in sections:
        found = ", ".join(sections) or "no section"
        raise ConfigError(f"{path}: has no [{wanted}] ({found}); write --config-section=NAME or that line")
    return entries


_NUMBER = re.compile(r"((?:[^\s/:]*:)?-?[0-9]+)\s")
"""A number, or HOST:PORT, ends where rtpengine stops to read it: at the first blank. A comment may follow."""


def _value(text: str) -> str:
    """
    >>> _value("60 # a minute"), _value("localhost:2223 # the proxy's"), _value("192.0.2.7 # eth0")
    ('60', 'localhost:2223', '192.0.2.7 # eth0')
    """
    number = _NUMBER.match(text)
    return number[1] if number else text


def _toml_entries(path: str, text: str, section: str | None) -> Iterator[Entry]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line (\d+)", str(error))
        line = place[1] if place else str(text.count("\n") + 1)
        raise ConfigError(f"{path}:{line}: not TOML: {error}; write for example port-min = 30000") from None
    if section is not None:
        if not isinstance(table.get(section), dict):
            raise ConfigError(f"{path}: has no [{section}]; write that line or leave out --config-section")
        table = table[section]
    for key, value in table.items():
        if key == POLICY and isinstance(value, dict):
            yield from _policies(path, text, section, value)
            continue
        line_number = _toml_line(text, section, key)
        if isinstance(value, dict):
            raise ConfigError(
                f"{path}:{line_number}: [{key}]: settings stand at the top of the file;"
                f" remove this line or start with --config-section={key}"
            )
        for item in value if isinstance(value, list) else [value]:
            yield Entry(key, _toml_text(item), path, line_number)


def _policies(path: str, text: str, section: str | None, table: dict[str, object]) -> Iterator[Entry]:
    """Each ``[policy.NAME]`` as the line that it is in other files: ``NAME key=value``."""
    for name, policy in table.items():
        header = f"{POLICY}.{name}" if section is None else f"{section}.{POLICY}.{name}"
        line = _toml_header(text, header)
        if not isinstance(policy, dict):
            raise ConfigError(f"{path}:{line}: {name}: stands in no policy; write [policy.NAME] above it")
        pairs = (f"{key}={_toml_list(value)}" for key, value in policy.items())
        yield Entry(POLICY, " ".join((name, *pairs)), path, line)


def _toml_list(value: object) -> str:
    return ",".join(map(_toml_text, value)) if isinstance(value, list) else _toml_text(value)


def _toml_header(text: str, name: str) -> int:
    headers = (line.strip().strip("[]").replace(" ", "").replace('"', "") for line in text.splitlines())
    return next((number for number, header in enumerate(headers, 1) if header == name), 1)


def _toml_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _toml_line(text: str, section: str | None, key: str) -> int:
    """Where a key stands; tomllib does not say."""
    table: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*[\"']?([^\"'\]]+?)[\"']?\s*\]", line):
            table = header[1]
            if section is None and table.split(".")[0] == key:
                return number
        elif table == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
            return number
    return 1

"""What an ng command asks for, whatever dialect it was written in.

Proxies of many years spell the same option as key, as list, as comma string, as
word in ``flags`` or inside ``rtpp-flags``. ``parse`` turns all of it into one
``Request``. What is unknown, or has a value that makes no sense, is named in
``warnings`` and otherwise ignored: it never makes a command fail.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from functools import lru_cache
from typing import Any

from relay.ng import rtpp, words
from relay.ng.bencode import Value
from relay.ng.errors import NO_COMMAND, NgError
from relay.ng.words import canonical
from sdp.values import valueclass

MAX_WARNINGS = 16
"""Warnings kept per command: one datagram has room for thousands of unknown keys."""

MAX_NETWORK = 64
"""Bytes of a network's id: a digest in hex."""
MAX_USER_AGENT = 256
"""Bytes: those of browsers have 150."""

_INTEGER = re.compile(r"-?[0-9]{1,18}")


@valueclass
class Request:
    """One command. Words are in lower case with hyphens; None and empty mean "not given"."""

    command: str
    """As sent: the commands are case-sensitive."""
    call_id: str | None = None
    from_tag: str | None = None
    """May be empty, which is a tag like any other."""
    to_tag: str | None = None
    via_branch: str | None = None
    sdp: str | None = None
    flags: frozenset[str] = frozenset()
    """Words of ``words.FLAGS`` only."""
    replace: frozenset[str] = frozenset()
    """Words of ``words.REPLACE`` only."""
    direction: tuple[str, ...] = ()
    """Interface names, first the sender's. An empty one is "the default"."""
    address_family: str | None = None
    """``IP4`` or ``IP6``."""
    media_address: str | None = None
    """An IP address."""
    received_from: str | None = None
    """An IP address: where the signalling came from."""
    rtcp_mux: frozenset[str] = frozenset()
    """Words of ``words.RTCP_MUX`` only; ``require`` does not add ``offer``."""
    ice: str | None = None
    """A word of ``words.ICE``."""
    ice_lite: str | None = None
    """``forward``, ``backward``, ``both`` or ``off``."""
    ice_policy: str | None = None
    """Name of a policy of the configuration."""
    network: str | None = None
    """Opaque id of the sender's network, 1 to 64 bytes."""
    network_legs: tuple[str | None, str | None] = (None, None)
    """Such ids of the parties of ``from-tag`` and ``to-tag``."""
    user_agent: str | None = None
    """Of the sender, at most 256 bytes."""
    sip_transport: str | None = None
    """By which the sender's signalling came: a word of ``words.SIP_TRANSPORT``."""
    ice_advice: bool = False
    """The sender's app wants to know what to gather for its next call."""
    action: str | None = None
    """Of the command ``memory``: a word of ``words.ACTIONS``."""
    feedback: Mapping[str, Value] = field(default_factory=dict, hash=False)
    """Of the command ``feedback``: what its keys ``FEEDBACK`` say. Of others, what ``ice-feedback`` says."""
    transport_protocol: str | None = None
    """A profile as in ``m=``, or ``accept``."""
    dtls: str | None = None
    """``off``, ``passive`` or ``active``."""
    dtls_reverse: str | None = None
    """In an offer: ``passive`` or ``active`` towards the offerer."""
    dtls_fingerprint: str | None = None
    """Hash to use, as ``a=fingerprint`` names it."""
    sdes: frozenset[str] = frozenset()
    """``off``, ``pad``, ``nonew``, ``lifetime``, ``prefer``, ``no-SUITE``, ``only-SUITE``, ``order:A;B``,
    ``offerer-pref:A;B``; suites in lower case with hyphens."""
    osrtp: frozenset[str] = frozenset()
    """``offer`` and ``accept``: keys beside a plain profile (RFC 8643)."""
    tos: int | None = None
    """As sent; negative, and 256 and above, have meanings of their own."""
    delete_delay: int | None = None
    """Seconds, 0 or more; a negative one is not given."""
    label: str | None = None
    limit: int | None = None
    metadata: str | None = None
    sip_code: int | None = None
    sip_message_type: str | None = None
    """``request`` or ``reply``."""
    supports: frozenset[str] = frozenset()
    """What the proxy understands, for example ``load-limit``."""
    warnings: tuple[str, ...] = ()
    """What was not understood, as text for the log."""
    ignored: tuple[str, ...] = ()
    """Options of rtpengine that were understood but have no effect here (yet), as a script writes them."""


def parse(message: Mapping[str, Value]) -> Request:
    """The request that a decoded message is. Raises ``NgError`` if it has no command.

    >>> request = parse({"command": "offer", "rtcp mux": "offer, require", "flags": ["replace-origin"]})
    >>> sorted(request.rtcp_mux), sorted(request.replace)
    (['offer', 'require'], ['origin'])
    """
    command = message.get("command")
    if not isinstance(command, str):
        raise NgError(NO_COMMAND)
    options = _Options()
    options.read(message)
    return _request(command, options)


def _request(command: str, options: _Options) -> Request:
    """Only what is there is read: of forty options a command has five."""
    for word in options.words("flags"):
        options.flag(word)
    given = options.values
    fields: dict[str, Any] = {}
    if "ice" in given:
        fields["ice"] = options.ice()  # before ``ice-lite``, which it may set
    for key in {**given, **options.families}:
        if key in _READERS:
            fields[key.replace("-", "_")] = _READERS[key](options)
    if not given.keys().isdisjoint(_DIRECTIONS):
        fields["direction"] = options.direction()
    if "webrtc" in options.flags:
        options.flags |= words.WEBRTC_FLAGS
        fields["rtcp_mux"] = fields.get("rtcp_mux", frozenset()) | words.WEBRTC_RTCP_MUX
        fields["ice"] = fields.get("ice") or "force"
        fields["transport_protocol"] = fields.get("transport_protocol") or "UDP/TLS/RTP/SAVPF"
    if "ice-optimize" in options.flags and fields.get("ice") == "force":
        fields["ice"] = "optimize"  # for scripts that rtpengine has to understand as well
    return Request(
        command=command,
        flags=frozenset(options.flags),
        feedback=options.taken(words.FEEDBACK) if command == "feedback" else options.feedback(command),
        warnings=options.closing_warnings(),
        ignored=tuple(options.ignored),
        **fields,
    )


class _Options:
    """The options of one message by canonical key; what is asked for is taken out."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.flags: set[str] = set()
        self.families: dict[str, list[str]] = {}
        self.warnings: list[str] = []
        self.ignored: dict[str, None] = {}

    def warn(self, what: str, value: object) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(f"{what} {str(value)[:64]!r}")

    def read(self, message: Mapping[str, Value]) -> None:
        """Takes in all keys; of two spellings of one key the first wins, and keys win over ``rtpp-flags``."""
        for name, value in message.items():
            if name != "command":
                self.values.setdefault(_key(name), value)
        if "rtpp-flags" in self.values and (text := self.text("rtpp-flags")):
            self._read_rtpp(rtpp.read(text))
        for key in self.values.keys() & words.KEYS_NOT_YET:
            self.ignore(key, self.values.pop(key))

    def ignore(self, key: str, value: Value) -> None:
        """Codecs and the like by the words of the script that a proxy made lists of: ``codec-strip-PCMA``."""
        found = [key]
        if key in words.SHOWN_NOT_YET:
            found = [word for _, word in zip(range(MAX_WARNINGS), _spelled(key, value), strict=False)]
        self.ignored |= dict.fromkeys(word[:64] for word in found)

    def _read_rtpp(self, found: Iterable[rtpp.Word]) -> None:
        directions: list[Value] = []
        profile: int | None = None
        for name, value in found:
            key = _key(name or "")
            word = canonical(str(value))
            if name is None and word in words.TRANSPORT_WORDS:
                added, removed = words.TRANSPORT_WORDS[word]
                profile = (profile or 0) & ~removed | added
            elif name is None and word.upper() in words.TRANSPORT:
                profile = words.TRANSPORT.index(word.upper())
            elif name is None and word in ("internal", "external"):
                directions.append(word)
            elif name is None:
                self.flag(str(value))
            elif key == "direction":
                directions.extend(value if isinstance(value, list) else [value])
            else:
                self.flags |= {"to-tag"} & {key}
                self.values.setdefault(key, value)
        if directions:
            self.values.setdefault("direction", directions)
        if profile is not None:
            self.values.setdefault("transport-protocol", words.TRANSPORT[profile])

    def flag(self, word: str) -> None:
        """A word of ``flags``: itself, or a word of the family that its prefix names."""
        flag = canonical(word)
        flag = words.FLAG_SYNONYMS.get(flag, flag)
        if flag in words.FLAGS:
            self.flags.add(flag)
        elif flag in words.FLAGS_NOT_YET or _family(flag, words.FAMILIES_NOT_YET):
            self.ignored[word[:64]] = None
        elif family := _family(flag, words.FAMILIES):
            self.families.setdefault(family, []).append(flag.removeprefix(family + "-"))
        elif flag and flag not in words.FLAGS_WITHOUT_EFFECT:
            self.warn("unknown flag", word)

    def text(self, key: str) -> str | None:
        """A string; a list of one string will do, and so will a number."""
        value = self.values.pop(key, None)
        if value is None:
            return None
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, (str, int)):
            return str(value)
        self.warn(f"not a string: {key}", value)
        return None

    def identifier(self, key: str, longest: int) -> str | None:
        """A string of 1 to ``longest`` bytes. What it says is nobody's business: it is never logged."""
        return self._identified(key, self.values.pop(key, None), longest)

    def _identified(self, key: str, value: object, longest: int) -> str | None:
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            self.warn(f"not a string: {key}", "(not shown)")
        elif len(value.encode("utf-8", "surrogateescape")) > longest:
            self.warn(f"longer than {longest} bytes: {key}", "(not shown)")
        else:
            return value
        return None

    def network_legs(self) -> tuple[str | None, str | None]:
        """A dictionary with ``from`` and ``to``, or the two as a list or with a comma."""
        key, value = "network-legs", self.values.pop("network-legs", None)
        if value is None:
            return None, None
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")]
        if isinstance(value, Mapping):
            value = [value.get("from", ""), value.get("to", "")]
        if not isinstance(value, list) or len(value) != 2:
            self.warn(f"not a pair: {key}", "(not shown)")
            return None, None
        return self._identified(key, value[0], MAX_NETWORK), self._identified(key, value[1], MAX_NETWORK)

    def taken(self, keys: Iterable[str]) -> dict[str, Value]:
        """The values of ``keys`` as they are."""
        return {key: self.values.pop(key) for key in keys if key in self.values}

    def feedback(self, command: str) -> dict[str, Value]:
        """A dictionary, or its words: ``ok:yes,kind:turn``. What it says is nobody's business either."""
        key = "ice-feedback"
        if command not in words.MAY_BRING_FEEDBACK or key not in self.values:
            return {}
        found = self.values.pop(key)
        if not isinstance(found, Mapping):
            written = found.split(",") if isinstance(found, str) else found if isinstance(found, list) else []
            pairs = (word.partition(":") for word in written if isinstance(word, str))
            found = {name.strip(): said.strip() for name, _, said in pairs if said}
        if not found:
            self.warn(f"not a dictionary: {key}", "(not shown)")
        return {canonical(name): said for name, said in found.items()}

    def number(self, key: str) -> int | None:
        text = self.text(key)
        if text is None:
            return None
        if _INTEGER.fullmatch(text.strip()):
            return int(text)
        self.warn(f"not a number: {key}", text)
        return None

    def words(self, key: str) -> Iterator[str]:
        """The words of a list or of a string with commas, as written."""
        value = self.values.pop(key, None)
        if isinstance(value, str):
            value = list(value.split(","))
        elif not isinstance(value, list):
            if value is not None:
                self.warn(f"not a list: {key}", value)
            value = []
        for item in value:
            if isinstance(item, (str, int)):
                yield str(item).strip()
            else:
                self.warn(f"not a word: {key}", item)

    def vocabulary(self, key: str, known: frozenset[str]) -> frozenset[str]:
        """The words of ``key``, and of ``flags`` with this prefix, that are in ``known``."""
        found = set()
        for word in (*self.words(key), *self.families.get(key, ())):
            if canonical(word) in known:
                found.add(canonical(word))
            elif word:
                self.warn(f"unknown word in {key}", word)
        return frozenset(found)

    def sdes(self) -> frozenset[str]:
        found = set()
        for word in map(canonical, (*self.words("sdes"), *self.families.get("sdes", ()))):
            if word in words.SDES_OFF:
                found.add("off")
            elif word in words.SDES_PLAIN or word.startswith(words.SDES_PREFIXES):
                found.add(word)
            elif word in words.SDES_NOT_YET:
                self.ignored[f"sdes-{word}"] = None
            elif word and word not in words.SDES_WITHOUT_EFFECT:
                self.warn("unknown word in sdes", word)
        return frozenset(found)

    def osrtp(self) -> frozenset[str]:
        found = set()
        for word in map(canonical, (*self.words("osrtp"), *self.families.get("osrtp", ()))):
            if word in words.OSRTP:
                found.add(words.OSRTP[word])
            elif word in words.OSRTP_NOT_YET:
                self.ignored[f"osrtp-{word}"] = None
            elif word:
                self.warn("unknown word in osrtp", word)
        return frozenset(found)

    def choice(self, key: str, known: Mapping[str, str]) -> str | None:
        text = self.text(key)
        if text is None:
            return None
        if canonical(text) not in known:
            self.warn(f"unknown value of {key}", text)
        return known.get(canonical(text))

    def ice(self) -> str | None:
        """The mode; words that stand beside it become flags, or ``ice-lite`` if that is not given."""
        mode: str | None = None
        for written in self.words("ice"):
            word = canonical(written)
            if word in words.ICE and mode in (None, word):
                mode = word
            elif word in words.ICE_FLAGS:
                self.flags.add(words.ICE_FLAGS[word])
            elif word.startswith("lite-"):
                self.values.setdefault("ice-lite", word.removeprefix("lite-"))
            else:
                self.warn("unknown value of ice", written)
        return mode

    def transport(self) -> str | None:
        text = self.text("transport-protocol")
        if text is None:
            return None
        if text.upper() in words.TRANSPORT:
            return text.upper()
        if canonical(text) == "accept":
            return "accept"
        self.warn("unknown value of transport-protocol", text)
        return None

    def direction(self) -> tuple[str, ...]:
        """``direction``, or the keys that name its first and second element alone."""
        names = tuple(name for name in self.words("direction") if name)
        single = self.text("interface")
        first, second = self.text("from-interface"), self.text("to-interface")
        if names or not (single or first or second):
            return names
        return (first or single or "", second) if second else (first or single or "",)

    def address(self, key: str) -> str | None:
        """An IP address; where family and address are given, the address."""
        value = self.values.get(key)
        if isinstance(value, str):
            self.values[key] = list(value.replace(",", " ").split())
        given = list(self.words(key))
        if not given:
            return None
        try:
            text = given[-1].removeprefix("[").removesuffix("]")
            if "%" in text:
                raise ValueError("an address with a scope means nothing elsewhere")
            return str(ipaddress.ip_address(text))
        except ValueError:
            self.warn(f"not an address: {key}", given[-1])
            return None

    def closing_warnings(self) -> tuple[str, ...]:
        """All warnings, those for the keys that nobody asked for included."""
        for key in self.values:
            self.warn("unknown key", key)
        return tuple(self.warnings)


@lru_cache(maxsize=256)
def _key(name: str) -> str:
    key = canonical(name)
    return words.KEY_SYNONYMS.get(key, key)


def _spelled(key: str, value: Value) -> Iterator[str]:
    """The words of a flag string that say the same as ``value`` does."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _spelled(f"{key}-{name}", item if isinstance(item, (Mapping, list)) else [item])
    elif isinstance(value, list):
        for item in value:
            yield from _spelled(key, item) if isinstance(item, (Mapping, list)) else (f"{key}-{item}",)
    else:
        yield f"{key}={value}"


def _family(flag: str, families: Iterable[str]) -> str | None:
    return next((family for family in families if flag.startswith(family + "-")), None)


def _not_negative(number: int | None) -> int | None:
    return None if number is not None and number < 0 else number


def _text(key: str) -> Callable[[_Options], str | None]:
    return lambda options: options.text(key)


def _number(key: str) -> Callable[[_Options], int | None]:
    return lambda options: options.number(key)


def _choice(key: str, known: Mapping[str, str]) -> Callable[[_Options], str | None]:
    return lambda options: options.choice(key, known)


_READERS: dict[str, Callable[[_Options], object]] = {
    "replace": lambda options: options.vocabulary("replace", words.REPLACE),
    "rtcp-mux": lambda options: options.vocabulary("rtcp-mux", words.RTCP_MUX),
    "ice-lite": _choice("ice-lite", words.ICE_LITE),
    "transport-protocol": _Options.transport,
    "call-id": _text("call-id"),
    "from-tag": _text("from-tag"),
    "to-tag": _text("to-tag"),
    "via-branch": _text("via-branch"),
    "sdp": _text("sdp"),
    "address-family": _choice("address-family", words.ADDRESS_FAMILY),
    "media-address": lambda options: options.address("media-address"),
    "received-from": lambda options: options.address("received-from"),
    "ice-policy": _text("ice-policy"),
    "network": lambda options: options.identifier("network", MAX_NETWORK),
    "network-legs": _Options.network_legs,
    "user-agent": lambda options: options.identifier("user-agent", MAX_USER_AGENT),
    "sip-transport": _choice("sip-transport", words.SIP_TRANSPORT),
    "action": _choice("action", words.ACTIONS),
    "ice-advice": lambda options: options.choice("ice-advice", words.ICE_ADVICE) == "yes",
    "dtls": _choice("dtls", words.DTLS),
    "dtls-reverse": _choice("dtls-reverse", words.DTLS),
    "dtls-fingerprint": _choice("dtls-fingerprint", words.DTLS_HASHES),
    "sdes": _Options.sdes,
    "osrtp": _Options.osrtp,
    "tos": _number("tos"),
    "delete-delay": lambda options: _not_negative(options.number("delete-delay")),
    "label": _text("label"),
    "limit": _number("limit"),
    "metadata": _text("metadata"),
    "sip-code": _number("sip-code"),
    "sip-message-type": _choice("sip-message-type", words.SIP_MESSAGE_TYPE),
    "supports": lambda options: frozenset(canonical(word) for word in options.words("supports")),
}
"""By key, which is the field of ``Request`` with hyphens."""

_DIRECTIONS = ("direction", "interface", "from-interface", "to-interface")
"""Keys of ``Request.direction``."""

"""Candidates of a description: every rule with one that it drops and one that it keeps, and hostile ones."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.ice.policy import Optimizer, Policy, Remembered
from relay.ng.errors import REWRITE_FAILED, NgError
from sdp.ice import read
from tests.relay.calls.desk import ALICE, PLAIN, RELAY, Desk, sdp, told
from tests.relay.calls.test_ice import BOB_ICE
from tests.relay.calls.test_optimize import ALICE_KEYS, CALLEE, MODES, phone

HOST = "1 1 udp 2130706431 203.0.113.7 5000 typ host"
SRFLX = "2 1 udp 1694498815 203.0.113.9 6000 typ srflx raddr 10.0.0.5 rport 5000"
TURN = "3 1 udp 16777215 203.0.113.11 7000 typ relay raddr 203.0.113.9 rport 6000"
TCP = "4 1 tcp 1518280447 203.0.113.7 9 typ host tcptype"
MOBILE = f"{HOST} network-cost 900"
WIRELESS = "5 1 udp 2130706400 203.0.113.13 5001 typ host network-cost 10"
ALWAYS = Policy("always", assist=frozenset(("always",)))
SITE = {"network_legs": {"from": "hq", "to": "hq"}}


@dataclass(frozen=True)
class Situation:
    """An offer that lets media go direct, so that the rules apply."""

    candidate: str
    beside: Sequence[str] = ()
    known: Remembered = field(default_factory=Remembered)
    policy: Policy = ALWAYS
    options: dict[str, Any] = field(default_factory=dict)

    def reason(self) -> str:
        """What ``query`` says of the candidate."""
        desk = Desk(PLAIN[:1])
        desk.registry.optimizer = Optimizer((self.policy,), remembered=lambda place: self.known)
        desk.offer(phone(ALICE, ALICE_KEYS, *self.beside, self.candidate), ICE="optimize", **self.options)
        desk.answer(CALLEE)
        listed = desk.command("query", call_id="call").reply["tags"]["B"]["medias"][0]["ICE"]["candidates"]
        (reason,) = [one["reason"] for one in listed if one["candidate"] == self.candidate]
        return str(reason)


def host(address: str, port: int = 5000) -> str:
    return f"1 1 udp 2130706431 {address} {port} typ host"


LISTENS = "6 1 tcp 1518280000 203.0.113.7 9000 typ host tcptype passive"
FOUR = tuple(f"{i} 1 udp {2130706431 + i} 203.0.113.{i + 20} 5000 typ host" for i in range(1, 5))

RULES = {
    "port 0": ("invalid", Situation(host("203.0.113.7", 0)), Situation(HOST)),
    "loopback": ("invalid", Situation(host("127.0.0.1")), Situation(HOST)),
    "scope": (
        "invalid",
        Situation(host("fe80::1%eth0"), options=SITE),
        Situation(host("fe80::1"), options=SITE),
    ),
    "foundation": ("invalid", Situation(HOST.replace("1 1 udp", "a_b 1 udp")), Situation(HOST)),
    "2^32": ("invalid", Situation(HOST.replace("2130706431", str(2**32))), Situation(HOST)),
    "ours": ("own-address", Situation(host(RELAY, 30500)), Situation(host(RELAY, 29999))),
    "name": (
        "fqdn",
        Situation(host("phone.example"), options=SITE),
        Situation(host("8f2c6c1e.local"), options=SITE),
    ),
    "type": ("unknown", Situation(HOST.replace("host", "magic")), Situation(HOST)),
    "transport": ("unknown", Situation(HOST.replace("udp", "ssltcp")), Situation(HOST)),
    "ufrag": ("generation", Situation(f"{HOST} ufrag zzzz"), Situation(f"{HOST} ufrag aaaa")),
    "rtcp": (
        "component",
        Situation(HOST.replace("1 1 udp", "1 2 udp"), options={"rtcp_mux": ["require"]}),
        Situation(HOST.replace("1 1 udp", "1 2 udp")),
    ),
    "policy": (
        "policy",
        Situation(SRFLX, policy=Policy("x", assist=frozenset(("always",)), drop=frozenset(("srflx",)))),
        Situation(SRFLX),
    ),
    "tcp that connects": ("tcp-useless", Situation(f"{TCP} active"), Situation(f"{TCP} passive")),
    "tcp beside udp": (
        "tcp-useless",
        Situation(LISTENS, known=Remembered(udp_works=True)),
        Situation(LISTENS),
    ),
    "turn": ("relay-replaced", Situation(TURN), Situation(TURN, known=Remembered(needs_turn=True))),
    "private": ("host-private", Situation(host("10.1.2.3")), Situation(host("10.1.2.3"), options=SITE)),
    "mdns": ("host-private", Situation(host("a.local")), Situation(host("a.local"), options=SITE)),
    "cost": ("cost", Situation(MOBILE, beside=(WIRELESS,)), Situation(MOBILE)),
    "nat": ("symmetric", Situation(SRFLX, known=Remembered(symmetric=True)), Situation(SRFLX)),
    "nat twice": (
        "symmetric",
        Situation(SRFLX, beside=(SRFLX.replace("6000", "6001"),)),
        Situation(SRFLX, beside=(SRFLX.replace("2 1 udp 16944", "9 1 udp 16943").replace("6000", "6001"),)),
    ),
    "enough": ("limit", Situation(HOST, beside=FOUR), Situation(HOST, beside=FOUR[:3])),
}


@pytest.mark.parametrize("rule", RULES)
def test_an_offer_loses_one_candidate_to_a_rule_and_keeps_another(rule: str) -> None:
    code, dropped, kept = RULES[rule]
    assert dropped.reason() == code
    assert kept.reason() == "direct-kept"


# Hostile offers, in every mode.

LINES = {
    "equal priorities": [f"{i} 1 udp 5 203.0.113.{i} 5000 typ host" for i in range(1, 51)],
    "priorities of 0 and 1": [f"{i} 1 udp {i % 2} 203.0.113.{i} 5000 typ host" for i in range(1, 51)],
    "2^32": [HOST.replace("2130706431", text) for text in (str(2**32), str(2**32 - 1), str(2**64), "-1")],
    "foundations": [
        HOST.replace("1 1 udp", f"{text} 1 udp") for text in ("f" * 33, "ä", "a_b", "\x1b[2J", "=")
    ],
    "names": [host(name) for name in ("phone.example", "localhost", "a.b.local", "-", "999.1.2.3")],
    "scopes": [host("fe80::1%eth0"), host("fe80::1%25eth0"), host("::1%lo")],
    "port 0": [host("203.0.113.7", 0), TCP.replace(" 9 ", " 0 ") + " active"],
    "ports": [host("203.0.113.7", 65536), HOST.replace("5000", "-1"), HOST.replace("5000", "5e3")],
    "loopback": [host(at) for at in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::")],
    "groups": [host(at) for at in ("224.0.0.1", "ff02::1", "255.255.255.255")],
    "our own": [host(RELAY, 30000), host(RELAY, 30002), host(f"::ffff:{RELAY}", 30000)],
    "words": ["", "one two three", "1 1 udp", f"{HOST} " + "x" * 5000, "1 0 udp 5 203.0.113.1 5000 typ host"],
    "ten thousand": [f"{i} 1 udp {i} 203.0.{i // 250}.{i % 250 + 1} 5000 typ host" for i in range(10_000)],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lines", LINES)
def test_hostile_candidates_harm_no_call(lines: str, mode: str) -> None:
    desk = Desk(PLAIN[:1])
    caller = phone(ALICE, ALICE_KEYS, *LINES[lines])
    if lines == "ten thousand" and mode in ("optional", "force-relay"):
        with pytest.raises(NgError, match=REWRITE_FAILED):  # all are to pass, and fit no datagram
            desk.offer(caller, **MODES[mode])
        assert (desk.box.ports, desk.box.rules, desk.registry.calls) == ({}, {}, {})
        return
    offer = desk.offer(caller, **MODES[mode])
    assert told(offer)[0] == RELAY
    found = read(offer, offer.medias[0]).candidates
    ours = [one for one in found if (one.address, one.port) == told(offer)]
    assert bool(ours) == (mode != "remove")
    assert len({one.priority for one in found}) == len(found)
    assert all(1 <= one.priority < 2**31 for one in found)
    assert not any(str(2**number) in str(offer) for number in (32, 64))
    if mode.startswith("optimize"):
        assert len(found) <= 16
    answer = desk.answer(sdp("203.0.113.2", 20000, "rtcp-mux", *(BOB_ICE if mode != "remove" else ())))
    assert told(answer)[0] == RELAY
    end = desk.now + 2.0
    while (due := desk.registry.next_check()) is not None and due < end:
        desk.now = max(desk.now, due)
        desk.registry.check(desk.now)
    for _, (address, port), _ in desk.box.sent:
        assert ipaddress.ip_address(address) in ipaddress.ip_network("203.0.0.0/8", strict=False)
        assert port
    assert len({remote for _, remote, _ in desk.box.sent}) <= 4
    assert desk.command("query", call_id="call").reply["result"] == "ok"
    desk.command("delete", call_id="call", delete_delay=0)
    assert (desk.box.ports, desk.box.rules) == ({}, {})

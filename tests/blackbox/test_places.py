"""What calls teach of where phones are: how far from the relay, behind what, and where they went."""

import sqlite3
from pathlib import Path
from typing import Any

from relay.memory import knowledge, record
from relay.memory.identity import identify
from relay.memory.knowledge import KNOWN, Network
from relay.memory.record import Record
from relay.store import secret
from tests.blackbox.daemon import Daemon, wait_until
from tests.blackbox.description import Description, plain
from tests.blackbox.distant_phone import DistantPhone, converse
from tests.ng import Value

TALK = 2.3
"""Seconds: calls shorter than two say nothing of the network."""
DISTANCE = 0.08
"""Seconds: two of them are more than a talk bears."""
CALLER, CALLEE = "127.0.1.63", "127.0.1.64"
STATIC = ("default", "srflx-useless")
MOBILE = "127.0.3.63"
"""In another /24."""


def daemon_at(path: Path) -> Daemon:
    return Daemon(
        ("--port-min=25000", "--port-max=25999", "--delete-delay=0", f"--memory={path / 'memory.db'}")
    )


def connect(daemon: Daemon, call_id: str, caller: DistantPhone, callee: DistantPhone, **place: Value) -> None:
    """``place``: what the proxy says of the caller's, or of both."""
    offer = daemon.client.ask("offer", sdp=caller.sdp, call_id=call_id, from_tag="A", ICE="force", **place)
    answer = daemon.client.ask("answer", sdp=callee.sdp, call_id=call_id, from_tag="A", to_tag="B")
    callee.hear(Description(str(offer["sdp"])))
    caller.hear(Description(str(answer["sdp"])))


def between(name: str) -> Value:
    """Two networks, as the proxy names them."""
    return {"from": f"{name}-1", "to": f"{name}-2"}


def teach(daemon: Daemon, name: str, first: int, shift: int) -> list[DistantPhone]:
    """Begin as many calls as make networks known. ``shift``: of ports, by NATs that have others for us."""
    phones = [
        DistantPhone((CALLER, CALLEE)[number % 2], number % 2 == 0, first + number, DISTANCE, shift)
        for number in range(2 * KNOWN)
    ]
    for call in range(KNOWN):
        caller, callee = phones[2 * call : 2 * call + 2]
        connect(daemon, f"{name}-{call}", caller, callee, network_legs=between(name))
    return phones


def decision(daemon: Daemon, name: str) -> tuple[str, str]:
    """Why a call between two networks goes as it goes, and what becomes of a server-reflexive candidate."""
    lines = [
        "a=rtcp-mux", "a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv",
        "a=candidate:1 1 UDP 1694498815 198.51.100.7 40000 typ srflx raddr 10.0.0.5 rport 40000",
    ]  # fmt: skip
    text = plain() + "".join(f"{line}\r\n" for line in lines)
    networks = between(name)
    daemon.client.ask("offer", sdp=text, call_id="x", from_tag="A", ICE="optimize", network_legs=networks)
    found: Any = daemon.client.ask("query", call_id="x")
    daemon.client.ask("delete", call_id="x")
    (ice,) = [leg["medias"][0]["ICE"] for tag, leg in found["tags"].items() if tag != "A"]
    (reason,) = [one["reason"] for one in ice["candidates"] if "198.51.100.7" in one["candidate"]]
    return ice["why"], reason


def test_far_phones_meet_directly_but_not_where_both_nats_map_anew(tmp_path: Path) -> None:
    daemon = daemon_at(tmp_path)
    assert decision(daemon, "far") == STATIC
    phones = teach(daemon, "far", 0, shift=0)
    phones += teach(daemon, "symmetric", 100, shift=1)
    converse(phones, TALK)
    report: Any = daemon.client.ask("query", call_id="far-0")
    for phone in phones[:2]:
        heard = report["SSRC"][str(phone.ssrc)]["average MOS"]
        assert (heard["packet loss"], heard["jitter"]) == (10, 10)
        assert heard["round-trip time leg"] >= DISTANCE * 1e6
        assert heard["round-trip time"] >= 2 * DISTANCE * 1e6
        assert 10 <= heard["MOS"] < 40
    hang_up(daemon, *phones)
    wait_until(lambda: decision(daemon, "far") == ("far-relay", "direct-kept"), "the far networks are known")
    wait_until(lambda: decision(daemon, "symmetric") == ("far-relay", "symmetric"), "the NATs are known")
    assert daemon.stop() == 0
    known = networks(tmp_path).values()
    assert (len(known), sum(bool(one.round_trips) for one in known)) == (5, 4), "not what is true of all"
    for one in records(tmp_path)[: 2 * KNOWN]:
        assert (one.lost, one.jitter, one.maps_anew) == (102, 10, False)
        assert one.round_trip is not None
        assert one.round_trip >= 1000 * DISTANCE


def test_a_phone_that_goes_from_wifi_to_a_mobile_network_leaves_its_record_there(tmp_path: Path) -> None:
    daemon = daemon_at(tmp_path)
    caller, callee = DistantPhone(CALLER, True, 1), DistantPhone(CALLEE, False, 2)
    connect(daemon, "c", caller, callee, received_from=["IP4", CALLER], user_agent="Phone/1")
    converse((caller, callee), 0.5)
    caller.go_to(MOBILE)
    converse((caller, callee), TALK)
    said: dict[str, Value] = {"tag": "A", "ok": "yes", "wifi/cell": "cell", "ms": 40, "rtt": 80, "lost": 1}
    reply = daemon.client.send_message({"command": "feedback", "call-id": "c", **said})
    assert reply == {"result": "ok"}
    hang_up(daemon, caller, callee)
    assert daemon.stop() == 0
    known, wifi, mobile = networks(tmp_path), key_of(tmp_path, CALLER), key_of(tmp_path, MOBILE)
    assert wifi not in known
    assert (known[mobile].rows, known[mobile].cellular, known[mobile].half_life) == (1, True, 86400.0)
    (moved,) = [one for one in records(tmp_path) if one.network == mobile]
    assert moved.moves == 1
    assert moved.said == record.Said(True, 40, 10, 80)


def test_of_a_phone_that_went_nobody_knows_where_only_the_kind_of_its_network_is_noted(
    tmp_path: Path,
) -> None:
    """And that only after the call: its record would have gone elsewhere."""
    daemon = daemon_at(tmp_path)
    for name in ("home", "office"):
        keys: dict[str, Value] = {"call_id": name, "from_tag": "A"}
        daemon.client.ask("offer", sdp=plain(), network=name, **keys)
        daemon.client.ask("answer", sdp=plain("198.51.100.2", 20000), to_tag="B", **keys)
    said: dict[str, Value] = {"command": "feedback", "tag": "A", "ok": "yes", "wifi/cell": "wifi->cell"}
    assert daemon.client.send_message({**said, "call-id": "office"}) == {"result": "ok"}
    daemon.clear()
    assert daemon.client.send_message({**said, "call-id": "home"}) == {"result": "ok"}
    assert daemon.stop() == 0
    home = identify(secret.read(str(tmp_path / "memory.db.secret")), "home", None, None).network
    assert {key: network.cellular for key, network in networks(tmp_path).items()} == {home: False}


def hang_up(daemon: Daemon, *phones: DistantPhone) -> None:
    daemon.clear()
    for phone in phones:
        phone.close()


def records(path: Path) -> list[Record]:
    """Of all legs, oldest first."""
    with sqlite3.connect(path / "memory.db") as file:
        return [record.decode(row) for (row,) in file.execute("SELECT row FROM records ORDER BY id")]


def key_of(path: Path, address: str) -> bytes:
    found = identify(secret.read(str(path / "memory.db.secret")), None, address, "phone").network
    assert found is not None
    return found


def networks(path: Path) -> dict[bytes, Network]:
    with sqlite3.connect(path / "memory.db") as file:
        rows = file.execute("SELECT key, state FROM networks").fetchall()
    return {key: knowledge.decode(state) for key, state in rows}

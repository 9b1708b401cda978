"""What is remembered of networks, advised to apps and heard from them, by the daemon as it runs."""

import json
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.daemon import ADDRESS, Daemon, wait_until
from tests.blackbox.description import Description, plain
from tests.blackbox.ice_phone import IcePhone
from tests.ng import Value
from tests.relay.store.redis_server import RedisServer

TOKEN = "a-token-of-the-operator"
TURN = "turn:turn.example.org:443?transport=tcp"
UNKNOWN = {
    "wait-gathering": "no", "stun": "no", "turn": [TURN], "transports": ["udp", "tcp"], "policy": "relay",
    "ttl": 3600,
}  # fmt: skip
KNOWN = {**UNKNOWN, "turn": [], "transports": ["udp"], "ttl": 86400}
CALLS = 8
TALK = 2.2
"""Seconds of audio: calls shorter than two say nothing of the network."""
PACKETS = 70


def daemon_with(path: Path, *options: str) -> Daemon:
    token = path / "token"
    token.write_text(TOKEN + "\n")
    return Daemon(
        (
            "--port-min=24000", "--port-max=24999", "--delete-delay=0", f"--memory={path / 'memory.db'}",
            f"--feedback-token={token}", f"--advice-turn={TURN}", *options,
        )
    )  # fmt: skip


@pytest.fixture
def remembering(tmp_path: Path) -> Iterator[Daemon]:
    daemon = daemon_with(tmp_path)
    yield daemon
    assert daemon.stop() == 0


def advice(daemon: Daemon, **keys: str) -> Any:
    reply = dict(daemon.client.ask("advice", **keys))
    assert reply.pop("result") == "ok"
    return reply


def talk(daemon: Daemon, network: str) -> list[str]:
    """Calls of phones with ICE from one network, all at once. Returns their ids; the callers' tag is A."""
    phones: list[IcePhone] = []
    ids = [f"{network}-{number}" for number in range(CALLS)]
    for number, call_id in enumerate(ids):
        caller, callee = IcePhone("127.0.1.61", True, number), IcePhone("127.0.1.62", False, 100 + number)
        keys = {"call_id": call_id, "from_tag": "A", "ICE": "force"}
        offer = daemon.client.ask("offer", sdp=caller.sdp, network=network, **keys)
        answer = daemon.client.ask("answer", sdp=callee.sdp, to_tag="B", **keys)
        callee.hear(Description(offer["sdp"]))
        caller.hear(Description(answer["sdp"]))
        phones += [caller, callee]
    started = time.monotonic()
    for number in range(PACKETS):
        for phone in phones:
            phone.work()
        _pause_until(started + (number + 1) * TALK / PACKETS)
    for phone in phones:
        phone.close()
    return ids


def _pause_until(moment: float) -> None:
    wait_until(lambda: time.monotonic() >= moment, "the next packet is due")


def post(daemon: Daemon, body: bytes, token: str = TOKEN) -> tuple[int, Any]:
    url = f"http://{daemon.http[0]}:{daemon.http[1]}/v1/ice/feedback"
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=3.0) as page:
            return page.status, json.load(page)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_network_where_calls_worked_is_known_also_after_a_restart_until_it_is_forgotten(
    tmp_path: Path,
) -> None:
    daemon = daemon_with(tmp_path)
    assert advice(daemon, network="cafe") == UNKNOWN
    for call_id in talk(daemon, "cafe"):
        daemon.client.ask("delete", call_id=call_id)
    wait_until(lambda: advice(daemon, network="cafe") == KNOWN, "the network is known")
    assert advice(daemon, network="home") == UNKNOWN
    assert daemon.metric("icerelay_ice_usable_seconds_count") == 2 * CALLS
    assert daemon.metric("icerelay_memory_working") == 1
    assert daemon.stop() == 0
    assert b"cafe" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    daemon = daemon_with(tmp_path)
    wait_until(lambda: advice(daemon, network="cafe") == KNOWN, "the network is read from the file")
    assert daemon.client.ask("forget", network="cafe") == {"result": "ok"}
    assert advice(daemon, network="cafe") == UNKNOWN
    assert daemon.stop() == 0
    with sqlite3.connect(tmp_path / "memory.db") as file:
        networks = file.execute("SELECT count(*) FROM records WHERE key IS NOT NULL").fetchone()
    assert networks == (0,), "the callees' network has no name, and the callers' is forgotten"


def test_what_one_relay_learnt_another_one_knows_through_redis(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    shared = (f"--memory={server.url}", f"--memory-secret={tmp_path / 'secret'}")
    (tmp_path / "secret").write_text("the same for all relays\n")
    one, other = daemon_with(tmp_path, *shared), daemon_with(tmp_path, *shared)
    for call_id in talk(one, "cafe"):
        one.client.ask("delete", call_id=call_id)
    assert one.stop() == 0
    wait_until(lambda: advice(other, network="cafe") == KNOWN, "the other relay knows", timeout=10.0)
    server.stop()
    assert advice(other, network="cafe") == KNOWN
    assert other.stop() == 0


def test_feedback_is_taken_once_per_leg_over_ng_and_http(remembering: Daemon) -> None:
    client = remembering.client
    keys = {"call_id": "c", "from_tag": "A"}
    client.ask("offer", sdp=plain(), network="home", **keys)
    client.ask("answer", sdp=plain("198.51.100.2", 20000, user="bob"), to_tag="B", **keys)
    said: dict[str, Value] = {
        "call-id": "c",
        "network": "home",
        "ok": "yes",
        "kind": "host",
        "ms": 120,
        "wifi/cell": "wifi",
    }
    assert client.send_message({**said, "command": "feedback"}) == {"result": "ok"}
    again = client.send_message({**said, "command": "feedback"})
    assert again["error-reason"] == "this leg was spoken of already"
    client.ask("delete", call_id="c")
    body = {"call-id": "c", "tag": "B", "ok": True}
    assert post(remembering, json.dumps(body).encode()) == (200, {"result": "ok"})
    assert post(remembering, json.dumps(body).encode())[0] == 409
    assert post(remembering, json.dumps({**body, "call-id": "x"}).encode())[0] == 404
    assert post(remembering, b"{}")[0] == 400
    assert post(remembering, b"x" * 3000)[0] == 413
    assert post(remembering, json.dumps(body).encode(), token="other")[0] == 401
    assert remembering.metric("icerelay_ice_feedback_total", "ok") == 2


def test_a_flood_of_feedback_is_refused_and_harms_no_call(remembering: Daemon) -> None:
    replies = [
        remembering.client.ask("feedback", call_id="x", tag="A", ok="no", kind="u") for _ in range(300)
    ]
    reasons = {str(reply["error-reason"]) for reply in replies}
    assert reasons == {"no such leg, or it ended too long ago", "too much feedback, try again later"}
    offer = remembering.client.ask("offer", sdp=plain(), call_id="c", from_tag="A")
    assert offer["result"] == "ok"
    remembering.clear()


def test_an_offer_may_ask_for_advice(remembering: Daemon) -> None:
    keys = {"sdp": plain(), "call_id": "c", "from_tag": "A"}
    asked = remembering.client.ask("offer", ice_advice="yes", network="home", user_agent="Linphone/5", **keys)
    assert asked["ice-advice"] == UNKNOWN
    assert "ice-advice" not in remembering.client.ask("offer", **keys)
    remembering.clear()


@pytest.mark.parametrize("spoil", ["no database", "no directory", "no secret"])
def test_a_memory_that_is_broken_is_one_line_in_the_log_and_calls_go_on(tmp_path: Path, spoil: str) -> None:
    options = []
    if spoil == "no database":
        (tmp_path / "memory.db").write_bytes(b"something else " * 1000)
    elif spoil == "no directory":
        options = [f"--memory={tmp_path / 'missing' / 'memory.db'}"]
    else:
        options = [f"--memory-secret={tmp_path / 'missing'}"]
    daemon = daemon_with(tmp_path, *options)
    keys = {"call_id": "c", "from_tag": "A"}
    assert daemon.client.ask("offer", sdp=plain(), network="home", ICE="optimize", **keys)["result"] == "ok"
    assert daemon.client.ask("answer", sdp=plain(ADDRESS, 20000), to_tag="B", **keys)["result"] == "ok"
    assert advice(daemon, network="home") == UNKNOWN
    daemon.client.ask("delete", call_id="c")
    wait_until(lambda: " icerelay.memory: " in daemon.log, "the log says so")
    assert daemon.metric("icerelay_memory_working") == 0
    assert daemon.stop() == 0
    assert daemon.log.count("ERROR icerelay.memory: ") == 1, daemon.log
    assert "Traceback" not in daemon.log

"""What is remembered of networks, advised to apps and heard from them, by the daemon as it runs."""

import json
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.memory.knowledge import STEADY
from relay.memory.record import PATIENT
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
KNOWN = {**UNKNOWN, "turn": [], "transports": ["udp"], "ttl": 3600}
DOUBTED = {**UNKNOWN, "ttl": 86400}
"""Known well, and all the same nothing is taken away."""
HOME, TURN_SERVER = "127.0.1.61", "127.0.1.62"
CALLS = STEADY // 2
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


def talk(daemon: Daemon, network: str, at: str = HOME, named: bool = True) -> list[str]:
    """Calls of phones with ICE within one network, all at once. Returns their ids.

    They signal from ``HOME``, and their checks come from ``at``. Not ``named``: they tell no candidate.
    """
    phones: list[IcePhone] = []
    ids = [f"{network}-{number}" for number in range(CALLS)]
    for number, call_id in enumerate(ids):
        caller, callee = IcePhone(at, True, number), IcePhone(at, False, 100 + number)
        keys: dict[str, Any] = {"call_id": call_id, "from_tag": "A", "ICE": "force", "received-from": HOME}
        said = [phone.sdp if named else _bare(phone.sdp) for phone in (caller, callee)]
        offer = daemon.client.ask("offer", sdp=said[0], network=network, **keys)
        answer = daemon.client.ask("answer", sdp=said[1], network=network, to_tag="B", **keys)
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


def _bare(said: str) -> str:
    """As a phone says that was told not to wait for gathering: where it is, nobody knows yet."""
    return "".join(f"{line}\r\n" for line in said.splitlines() if not line.startswith("a=candidate"))


def hang_up(daemon: Daemon, ids: list[str]) -> None:
    for call_id in ids:
        daemon.client.ask("delete", call_id=call_id)


def fail(daemon: Daemon, network: str) -> None:
    """A call of a phone whose checks never arrive, and that talks on for a while."""
    phones = [IcePhone(HOME, True, 1), IcePhone(HOME, False, 2)]
    keys: dict[str, Any] = {"call_id": "failed", "from_tag": "A", "ICE": "force", "received-from": HOME}
    daemon.client.ask("offer", sdp=phones[0].sdp, network=network, **keys)
    daemon.client.ask("answer", sdp=phones[1].sdp, to_tag="B", **keys)
    over = time.monotonic() + PATIENT + 0.1
    wait_until(lambda: time.monotonic() >= over, "the call has lasted long enough", timeout=2 * PATIENT)
    daemon.client.ask("delete", call_id="failed")
    for phone in phones:
        phone.close()


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


def cafe(daemon: Daemon, site: str = HOME) -> Any:
    return advice(daemon, network="cafe", received_from=site)


def test_a_network_where_calls_worked_is_known_also_after_a_restart_until_it_is_forgotten(
    tmp_path: Path,
) -> None:
    daemon = daemon_with(tmp_path)
    assert cafe(daemon) == UNKNOWN
    hang_up(daemon, talk(daemon, "cafe"))
    wait_until(lambda: cafe(daemon) == KNOWN, "the network is known")
    assert advice(daemon, network="home", received_from=HOME) == UNKNOWN
    assert cafe(daemon, TURN_SERVER) == DOUBTED, "who asks from elsewhere may be no guest of that cafe"
    assert daemon.metric("icerelay_ice_usable_seconds_count") == 2 * CALLS
    assert daemon.metric("icerelay_ice_unusable_total") == 0
    assert daemon.metric("icerelay_memory_working") == 1
    assert daemon.stop() == 0
    assert b"cafe" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    daemon = daemon_with(tmp_path)
    wait_until(lambda: cafe(daemon) == KNOWN, "the network is read from the file")
    assert daemon.client.ask("forget", network="cafe") == {"result": "ok"}
    assert cafe(daemon) == UNKNOWN
    assert daemon.stop() == 0
    with sqlite3.connect(tmp_path / "memory.db") as file:
        networks = file.execute("SELECT count(*) FROM records WHERE key IS NOT NULL").fetchone()
    assert networks == (0,)


def test_one_call_without_a_path_brings_turn_back(remembering: Daemon) -> None:
    hang_up(remembering, talk(remembering, "cafe"))
    wait_until(lambda: cafe(remembering) == KNOWN, "the network is known")
    fail(remembering, "cafe")
    wait_until(lambda: cafe(remembering) == DOUBTED, "TURN is advised again")
    assert remembering.metric("icerelay_ice_unusable_total", "no check") == 2


def test_where_phones_tell_no_candidate_and_come_by_turn_it_stays(remembering: Daemon) -> None:
    hang_up(remembering, talk(remembering, "cafe", at=TURN_SERVER, named=False))
    wait_until(lambda: cafe(remembering) == DOUBTED, "the network is known")


def test_what_one_relay_learnt_another_one_knows_through_redis(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    shared = (f"--memory={server.url}", f"--memory-secret={tmp_path / 'secret'}")
    (tmp_path / "secret").write_text("the same for all relays\n")
    one, other = daemon_with(tmp_path, *shared), daemon_with(tmp_path, *shared)
    hang_up(one, talk(one, "cafe"))
    assert one.stop() == 0
    wait_until(lambda: cafe(other) == KNOWN, "the other relay knows", timeout=10.0)
    server.stop()
    assert cafe(other) == KNOWN
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


def icerelay_memory(daemon: Daemon, *words: str) -> tuple[int, str]:
    """Exit status and output of the subcommand."""
    where = f"--listen-ng={daemon.ng[0]}:{daemon.ng[1]}"
    command = [sys.executable, "-m", "relay.cli", "memory", *words, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout + done.stderr


def test_an_operator_switches_the_memory_of_a_running_relay(remembering: Daemon, tmp_path: Path) -> None:
    secret = tmp_path / "memory.db.secret"
    assert icerelay_memory(remembering) == (0, "the memory is on\n")
    assert icerelay_memory(remembering, "off") == (0, "the memory is off\n")
    assert remembering.metric("icerelay_memory_working") == 0
    assert advice(remembering, network="cafe") == UNKNOWN
    assert icerelay_memory(remembering, "on") == (0, "the memory is on\n")
    before = secret.read_text()
    assert icerelay_memory(remembering, "rotate") == (0, "the memory is on\n")
    assert secret.read_text() != before
    secret.write_text("short\n")
    status, said = icerelay_memory(remembering, "reload")
    assert (status, "icerelay: the relay refused: " in said, "16 bytes or more" in said) == (1, True, True)
    assert remembering.log.count("WARNING icerelay.memory: memory: ") == 3


def test_who_switches_the_memory_of_no_relay_is_told_so(remembering: Daemon) -> None:
    command = [sys.executable, "-m", "relay.cli", "memory", "off", f"--listen-ng={ADDRESS}:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stderr == f"icerelay: no relay answers at {ADDRESS}:1: Connection refused; see --listen-ng\n"

"""``icerelay explain`` and the log, after two real ICE agents (aioice) have called each other."""

import subprocess
import sys

import pytest

from tests.interop.process import wait_until
from tests.interop.relay import MEDIA_ADDRESS, Relay
from tests.interop.test_aioice import HOST, connect, run
from tests.ng import Value


def explain(relay: Relay, call_id: str) -> subprocess.CompletedProcess[str]:
    where = f"--listen-ng={relay.ng[0]}:{relay.ng[1]}"
    command = [sys.executable, "-m", "relay.cli", "explain", where, call_id]
    return subprocess.run(command, capture_output=True, text=True, timeout=20.0, check=False)


@pytest.mark.parametrize(
    ("mode", "caller", "callee"),
    [
        ("optimize", "relay, because: default", "relay, because: default"),
        ("force", "relay, because: force", "relay, because: force"),
        ("optional", "passed, because: optional", "passed, because: optional"),
    ],
)
def test_a_call_of_two_ice_agents_is_explained(
    relay: Relay, mode: str, caller: str, callee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = f"explained-{mode}"

    async def scenario() -> None:
        await connect(relay, call_id, {"ICE": mode}, only_relay=True, keep=True)

    run(scenario, monkeypatch)
    found = explain(relay, call_id)
    relay.client.ask("delete", call_id=call_id)
    assert (found.returncode, found.stderr) == (0, "")
    for tag, said in (("A", caller), ("B", callee)):
        _, _, party = found.stdout.partition(f"party {tag}")
        party = party.partition("\nparty ")[0]
        assert f"  media 1 (audio): {said} (" in party
        (pair,) = [line.split() for line in party.splitlines() if line.startswith("      selected ")]
        assert pair[1].startswith(f"{MEDIA_ADDRESS}:")
        assert pair[2].startswith(f"{HOST}:")
        assert pair[3] == "host"
        assert "ms after the answer, by u" in party
        assert "moves: 0 made, 0 failed; paths that lost consent: 0" in party
        assert "forwarded by: user space" in party
        assert ("dropped  invalid" in party) == (mode != "optional")
        assert ("kept     direct-kept" in party) == (mode == "optional")
        assert "kept     relay-inserted" in party


def test_the_log_has_one_line_about_ice_when_the_call_ends_without_an_address_of_a_phone(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        options: dict[str, Value] = {"ICE": "optimize", "network-legs": ["a-secret-id", "another-one"]}
        await connect(relay, "told", options, only_relay=True)

    run(scenario, monkeypatch)
    wait_until(lambda: "call ended call-id=told" in relay.log, "the end is in the log")
    (line,) = [line for line in relay.log.splitlines() if "ice ended call-id=told " in line]
    assert line.count("mode=relay why=default ways=u left-out=none widened=no first-check=") == 2
    assert line.count(" way=u moves=0 own=") == 2
    assert line.count(" kept=0 dropped=1") == 2
    assert HOST not in relay.log
    assert "a-secret-id" not in relay.log


def test_a_call_that_is_not_there_and_a_relay_that_is_not_there_are_one_line_and_status_1(
    relay: Relay,
) -> None:
    missing = explain(relay, "nobody")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "has no such call" in missing.stderr
    command = [sys.executable, "-m", "relay.cli", "explain", f"--listen-ng={MEDIA_ADDRESS}:9", "nobody"]
    silent = subprocess.run(command, capture_output=True, text=True, timeout=20.0, check=False)
    assert (silent.returncode, silent.stderr.count("\n")) == (1, 1)
    assert f"no relay answers at {MEDIA_ADDRESS}:9" in silent.stderr

"""What the daemon says of ICE: to the proxy, to the log, to Prometheus; a phone that misses an address."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aioice
import pytest

from relay.memory.arms import Arm
from relay.memory.identity import identify
from relay.memory.knowledge import Network, Way
from relay.store import secret
from relay.store.sqlite import SqliteStore
from sdp.fragment import Fragment
from tests.blackbox.daemon import Daemon, wait_until
from tests.blackbox.description import Description, plain
from tests.blackbox.ice_phone import IcePhone

IPV4, IPV6 = "127.0.1.11", "::1"
OPTIONS = ("--port-min=24000", "--port-max=24999", "--delete-delay=0")
CAFE = "a-cafe-in-town"


def network(now: float) -> Network:
    """What forty calls taught: IPv4 works, IPv6 does not, and curiosity was satisfied just now."""
    works = Way(alpha=40.0, rows=40, at=now, times=[(now, 120)] * 5)
    fails = Way(beta=60.0, rows=40, at=now)
    return Network({Arm.U: works, Arm.V6: fails}, rows=40, at=now, explored_at=now, named=True)


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Daemon]:
    """A relay with two addresses, which knows a network where IPv6 is dead."""
    (tmp_path / "secret").write_text("of the operator alone\n")
    key = identify(secret.read(str(tmp_path / "secret")), CAFE, None, None).network
    assert key is not None
    store = SqliteStore(str(tmp_path / "memory.db"), 30 * 86400.0)
    store.update({key: [lambda _: network(time.time())]}, {})
    store.close()
    memory = (f"--memory={tmp_path / 'memory.db'}", f"--memory-secret={tmp_path / 'secret'}")
    daemon = Daemon((*OPTIONS, *memory), (f"pub/{IPV4}", f"pub/{IPV6}"))
    wait_until(lambda: daemon.client.ask("advice", network=CAFE)["ttl"] == 86400, "the network is at hand")
    yield daemon
    assert daemon.stop() == 0
    assert CAFE not in daemon.log


def offered(daemon: Daemon, call_id: str, caller: IcePhone) -> Description:
    """What somebody in the cafe is told when the caller rings."""
    keys: dict[str, Any] = {"ICE": "optimize", "network-legs": ["home", CAFE], "rtcp-mux": ["require"]}
    reply = daemon.client.ask("offer", call_id=call_id, from_tag="A", sdp=caller.sdp, **keys)
    return Description(reply["sdp"])


def addresses(said: Description) -> set[str]:
    return {candidate.address for candidate in said.medias[0].candidates}


def query(daemon: Daemon, call_id: str, tag: str) -> Any:
    tags: Any = daemon.client.ask("query", call_id=call_id)["tags"]
    return tags[tag]


def test_a_phone_that_misses_an_address_is_told_it_and_its_network_is_open_at_once(narrow: Daemon) -> None:
    caller, callee = IcePhone("127.0.1.61", True, 1), IcePhone("127.0.1.62", False, 2)
    calls = (f"call-{number}" for number in range(20))  # one in fifty is told all, out of curiosity
    call_id = next(one for one in calls if addresses(offered(narrow, one, caller)) == {IPV4})
    narrow.client.ask("answer", call_id=call_id, from_tag="A", to_tag="B", sdp=callee.sdp)
    ways = query(narrow, call_id, "B")["medias"][0]["ICE"]["ways"]
    assert {one["way"]: one["n"] for one in ways} == {"u": 40, "v6": 40}
    assert "ice-widen" not in query(narrow, call_id, "B")
    wait_until(lambda: narrow.metric("icerelay_ice_widen_total") == 1, "nobody checked for 4 s", timeout=10.0)
    found = query(narrow, call_id, "B")
    assert {
        line.split()[4] for line in found["ice-widen"].splitlines() if line.startswith("a=candidate")
    } == {
        IPV4,
        IPV6,
    }
    assert len(found["network"]) == 8
    assert found["medias"][0]["ICE"]["left out"] == ["v6"]
    assert 4000 <= found["medias"][0]["ICE"]["widened"] < 10_000
    assert narrow.log.count("ice widen ") == 1
    assert f"ice widen call-id={call_id} tag=B ways=v6" in narrow.log
    later = (f"later-{number}" for number in range(500))
    wait_until(
        lambda: IPV6 in addresses(offered(narrow, next(later), caller)), "nothing is left out any more"
    )
    narrow.clear()
    wait_until(lambda: f"ice ended call-id={call_id}" in narrow.log, "the end is in the log")
    (line,) = [one for one in narrow.log.splitlines() if f"ice ended call-id={call_id}" in one]
    assert "left-out=v6 widened=yes first-check=never usable=never" in line
    assert narrow.metric("icerelay_ice_memory_rows", "networks") >= 1
    assert narrow.metric("icerelay_ice_candidates_total", "relay-inserted") > 0
    caller.close()
    callee.close()


def described(agent: aioice.Connection) -> str:
    """What an aioice agent says of itself."""
    lines = [
        "rtcp-mux",
        f"ice-ufrag:{agent.local_username}",
        f"ice-pwd:{agent.local_password}",
        *(f"candidate:{one.to_sdp()}" for one in agent.local_candidates if one.component == 1),
    ]
    return plain() + "".join(f"a={line}\r\n" for line in lines)


async def learn(agent: aioice.Connection, said: Description) -> None:
    """Take over what the relay says, and expect more."""
    media = said.medias[0]
    agent.remote_username, agent.remote_password = media.attribute("ice-ufrag"), media.attribute("ice-pwd")
    for candidate in media.attributes("candidate"):
        await agent.add_remote_candidate(aioice.Candidate.from_sdp(candidate))


def pairs(daemon: Daemon, call_id: str) -> set[tuple[str, str]]:
    """Ways and states of the callee's."""
    return {(one["way"], one["state"]) for one in query(daemon, call_id, "B")["medias"][0]["ICE"]["pairs"]}


async def call_of_an_agent_with_ipv6_alone(daemon: Daemon) -> str:
    """It is told of IPv4, and later what it misses. Returns the address that it reaches the relay at."""
    caller = IcePhone("127.0.1.61", True, 1)
    callee = aioice.Connection(ice_controlling=False, use_ipv4=False)
    await callee.gather_candidates()
    calls = (f"call-{number}" for number in range(20))
    call_id, offer = next(
        (one, said) for one in calls if addresses(said := offered(daemon, one, caller)) == {IPV4}
    )
    await learn(callee, offer)
    daemon.client.ask("answer", call_id=call_id, from_tag="A", to_tag="B", sdp=described(callee))
    connecting = asyncio.create_task(callee.connect())
    while "ice-widen" not in query(daemon, call_id, "B"):
        assert not connecting.done()
        await asyncio.sleep(0.05)
    (part,) = Fragment.parse(query(daemon, call_id, "B")["ice-widen"]).parts
    for candidate in part.candidates:
        await callee.add_remote_candidate(aioice.Candidate.from_sdp(str(candidate)))
    await callee.add_remote_candidate(None)
    await connecting
    while pairs(daemon, call_id) != {("v6", "selected")}:
        await asyncio.sleep(0.05)
    reached = str(callee._nominated[1].remote_addr[0])
    await callee.close()
    caller.close()
    return reached


def test_a_real_agent_that_could_not_reach_us_is_connected_by_what_it_missed(
    narrow: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [IPV6])
    reached = asyncio.run(asyncio.wait_for(call_of_an_agent_with_ipv6_alone(narrow), 20.0))
    assert reached == IPV6
    narrow.clear()


def test_feedback_may_come_with_the_end_of_a_call(tmp_path: Path) -> None:
    daemon = Daemon((*OPTIONS, f"--memory={tmp_path / 'memory.db'}"))
    client, keys = daemon.client, {"call_id": "c", "from_tag": "A"}
    said: dict[str, Any] = {"ice-feedback": {"ok": "yes", "kind": "turn"}}
    first = client.ask("offer", sdp=plain(), **keys, **said)
    assert (first["result"], first["ice-feedback"]) == ("ok", "no such leg, or it ended too long ago")
    client.ask("answer", sdp=plain("198.51.100.2", 20000, user="bob"), to_tag="B", **keys)
    again = client.ask("offer", sdp=plain(), to_tag="B", **keys, **{"ice-feedback": "ok:no,kind:u,tag:B"})
    assert (again["result"], again["ice-feedback"]) == ("ok", "ok")
    bad = client.ask("offer", sdp=plain(), to_tag="B", **keys, **{"ice-feedback": {"ok": "perhaps"}})
    assert (bad["result"], bad["ice-feedback"]) == ("ok", "say ok: yes or no")
    assert client.ask("delete", **keys, **said)["ice-feedback"] == "ok"
    assert client.ask("feedback", call_id="c", tag="A", ok="yes")["error-reason"] == (
        "this leg was spoken of already"
    )
    assert daemon.metric("icerelay_ice_feedback_total", "ok") == 2
    assert daemon.stop() == 0


def test_the_log_tells_of_four_parties_of_a_call_at_most(daemon: Daemon) -> None:
    offer, answers = IcePhone("127.0.1.61", True, 1), [IcePhone("127.0.1.62", False, n) for n in range(2, 7)]
    keys: dict[str, Any] = {"call_id": "many", "from_tag": "A", "ICE": "force"}
    for number, phone in enumerate(answers):
        branch = {"via_branch": f"b{number}"}
        daemon.client.ask("offer", sdp=offer.sdp, **keys, **branch)
        daemon.client.ask("answer", sdp=phone.sdp, to_tag=f"B{number}", **keys, **branch)
    daemon.client.ask("delete", call_id="many")
    wait_until(lambda: "ice ended call-id=many" in daemon.log, "the end is in the log")
    (line,) = [one for one in daemon.log.splitlines() if "ice ended call-id=many" in one]
    assert line.count("mode=relay why=force ") == 4
    assert line.endswith("; and 2 more")
    for phone in (offer, *answers):
        phone.close()


def test_a_query_that_is_too_long_for_a_datagram_leaves_out_ice_before_the_parties() -> None:
    daemon = Daemon(OPTIONS)
    candidates = "".join(
        f"a=candidate:{number} 1 udp 5 203.0.113.{number} 5000 typ host {'x ' * 100}y\r\n"
        for number in range(1, 30)
    )
    offer = IcePhone("127.0.1.61", True, 1).sdp + candidates
    for branch in range(10):
        daemon.client.ask(
            "offer", call_id="c", from_tag="A", via_branch=f"b{branch}", sdp=offer, ICE="optimize"
        )
    reply = daemon.client.ask("query", call_id="c")
    tags: Any = reply["tags"]
    assert reply["warning"] == "too long for one datagram: ICE left out"
    assert len(tags) == 11
    assert "ICE" not in tags["A"]["medias"][0]
    assert tags["A"]["medias"][0]["streams"]
    daemon.clear()
    assert daemon.stop() == 0

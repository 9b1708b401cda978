"""Checks that the native plane answers, compared with the agent, aioice, hashlib and zlib."""

from __future__ import annotations

import copy
import hashlib
import hmac
import random
import select
import socket
import time
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from aioice import stun as aioice_stun

from relay.forward import fake_stun
from relay.forward._fastpath import CheckAnswerer, NativePlane, crc32, hmac_sha1
from relay.forward.plane import Stun
from relay.forward.rule import CHECKS_PER_SECOND, MAX_SOURCES, Address, Learn, Rule, StunKeys
from relay.ice import stun
from relay.ice.agent import Agent
from relay.ice.credentials import Credentials
from relay.ice.outputs import Path, Send
from relay.ice.stun import Class
from tests.relay.forward.checks import KEYS, Draft, altered, damaged, honest
from tests.relay.ice.test_stun import RFC5769_KEY, RFC5769_REQUEST

Phones = Callable[[str], socket.socket]
LocalPorts = Callable[[NativePlane, str], tuple[int, Address]]

HOME = ("192.0.2.1", 32853)
HOME6 = ("2001:db8:1234:5678:11:2233:4455:6677", 32853)
ELSEWHERE = ("198.51.100.1", 50000)


def rule(keys: StunKeys, *sources: Address, id: int = 0, port: int = 0) -> Rule:
    return Rule(id, port, None, Learn.NOBODY, sources=sources, stun=True, stun_keys=keys)


def answerer(keys: StunKeys, *sources: Address) -> CheckAnswerer:
    return CheckAnswerer(rule(replace(keys, settled=sources), *sources))


# What it is made of.


@pytest.mark.parametrize(
    ("key", "data", "digest"),
    [
        (b"\x0b" * 20, b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
        (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (b"\xaa" * 20, b"\xdd" * 50, "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
        (bytes(range(1, 26)), b"\xcd" * 50, "4c9007f4026250c6bc8414f9bf50c86c2d7235da"),
        (b"\x0c" * 20, b"Test With Truncation", "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
        (
            b"\xaa" * 80,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "aa4ae5e15272d00e95705637ce8a3b55ed402112",
        ),
        (
            b"\xaa" * 80,
            b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data",
            "e8e99d0f45237d786d6bbaa7965c7808bbff1a91",
        ),
    ],
)
def test_hmac_is_that_of_rfc_2202(key: bytes, data: bytes, digest: str) -> None:
    assert hmac_sha1(key, data).hex() == digest


def test_hmac_and_crc_are_those_of_the_standard_library_at_every_length() -> None:
    rng = random.Random(1)
    for length in [*range(260), 1499, 1500]:
        key, data = rng.randbytes(rng.randrange(130)), rng.randbytes(length)
        assert hmac_sha1(key, data) == hmac.digest(key, data, hashlib.sha1)
        assert crc32(data) == zlib.crc32(data)


# Which checks, and how.


@pytest.mark.parametrize("source", [HOME, HOME6])
def test_the_sample_request_of_rfc_5769_is_answered(source: Address) -> None:
    keys = StunKeys("evtj", RFC5769_KEY.decode(), "h6vY", controlling=True)
    expected = stun.success(stun.parse(RFC5769_REQUEST), source, RFC5769_KEY)
    assert answerer(keys, source).answer(source, RFC5769_REQUEST) == expected
    assert answerer(replace(keys, controlling=False), source).answer(source, RFC5769_REQUEST) is None
    assert answerer(replace(keys, remote_ufrag="h6vZ"), source).answer(source, RFC5769_REQUEST) is None


def test_random_checks_get_aioices_answer_byte_for_byte() -> None:
    rng = random.Random(2)
    for _ in range(2000):
        host = rng.choice(["192.0.2.", "2001:db8::"]) + str(rng.randrange(1, 255))
        source = (host, rng.randint(1, 65535))
        keys = StunKeys(
            ufrag=rng.randbytes(4).hex(),
            pwd=rng.randbytes(rng.randint(11, 128)).hex(),
            remote_ufrag=rng.randbytes(rng.randint(2, 128)).hex(),
            controlling=rng.random() < 0.5,
        )
        draft = honest(rng, keys)
        theirs = aioice_stun.Message(
            aioice_stun.Method.BINDING,
            aioice_stun.Class.RESPONSE,
            draft.transaction,
            {"XOR-MAPPED-ADDRESS": source},
        )
        theirs.add_message_integrity(keys.key)
        assert answerer(keys, source).answer(source, draft.write()) == bytes(theirs)


def test_the_same_datagram_is_read_twice_as_it_was() -> None:
    datagram, native = honest(random.Random(3)).write(), answerer(KEYS, HOME)
    assert native.answer(HOME, datagram) == native.answer(HOME, datagram) is not None


def test_only_settled_sources_are_answered() -> None:
    datagram = honest(random.Random(4)).write()
    sources = tuple(("192.0.2.1", port) for port in range(1, MAX_SOURCES + 1))
    native = CheckAnswerer(rule(replace(KEYS, settled=sources[1::2]), *sources))
    answered = [source for source in (*sources, ELSEWHERE) if native.answer(source, datagram)]
    assert answered == list(sources[1::2])


def test_a_nomination_is_answered_where_it_is_no_news() -> None:
    keys = replace(KEYS, nominated=HOME)
    datagram = honest(random.Random(5), nominate=True).write()
    native = answerer(keys, HOME, ELSEWHERE)
    assert native.answer(HOME, datagram)
    assert native.answer(ELSEWHERE, datagram) is None
    assert answerer(KEYS, HOME).answer(HOME, datagram) is None


OURS, THEIRS = Credentials("ours", KEYS.pwd), Credentials("peer", "its-password-of-22-chars")
AT_HOME, AT_ELSEWHERE = Path(0, HOME), Path(0, ELSEWHERE)


def connected(controlling: bool, lite: bool) -> Agent:
    """An agent with a selected path, and another one."""
    agent = Agent(OURS, controlling, lite, tie_breaker=2**63)
    agent.set_remote(THEIRS, 0.0)
    rng = random.Random(6)
    keys = replace(KEYS, controlling=agent.controlling)
    for path in (AT_HOME, AT_ELSEWHERE):
        nominate = path is AT_HOME and not agent.controlling
        outputs = agent.received(path, honest(rng, keys, nominate).write(), 0.0)
        outputs += agent.timeout(0.05)
        for _ in range(3):
            requests = [stun.parse(output.datagram) for output in outputs if isinstance(output, Send)]
            outputs = []
            for request in requests:
                if request.type is Class.REQUEST:
                    outputs += agent.received(path, stun.success(request, path.remote, THEIRS.key), 0.05)
    assert agent.selected == {0: AT_HOME}
    return agent


def state(agent: Agent) -> str:
    """All but when the peer was heard, which ``alive`` tells the agent."""
    paths = {path: (one.answered, one.nominated, one.check) for path, one in agent._paths.items()}
    return repr((agent.controlling, agent.selected, paths, agent._checks))


@pytest.mark.parametrize(("controlling", "lite"), [(False, False), (True, False), (False, True)])
def test_what_is_answered_would_have_been_answered_by_the_agent_and_changed_nothing(
    controlling: bool, lite: bool
) -> None:
    rng, agent = random.Random(7), connected(controlling, lite)
    assert agent.settled(0) == (HOME,)
    keys = replace(KEYS, controlling=controlling, settled=agent.settled(0), nominated=HOME)
    native, before = CheckAnswerer(rule(keys, HOME, ELSEWHERE)), state(agent)
    counts = {True: 0, False: 0}
    for number in range(6000):
        path = rng.choice([AT_HOME, AT_ELSEWHERE])
        draft = honest(rng, keys, nominate=rng.random() < 0.3)
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            draft = altered(rng, draft)
        datagram = draft.write()
        if number % 3 == 0:
            datagram = damaged(rng, datagram)
        answer = native.answer(path.remote, datagram)
        assert answer == fake_stun.answer(keys, path.remote, datagram), datagram.hex()
        counts[answer is not None] += 1
        if answer is not None:
            asked = copy.deepcopy(agent)
            assert asked.received(path, datagram, 1.0) == [Send(path, answer)], datagram.hex()
            assert state(asked) == before
    assert min(counts.values()) > 500


def test_every_single_bit_counts() -> None:
    draft = honest(random.Random(8))
    for fingerprint in (True, False):
        datagram = replace(draft, fingerprint=fingerprint).write()
        native = answerer(KEYS, HOME)
        assert native.answer(HOME, datagram)
        for bit in range(8 * len(datagram)):
            changed = bytearray(datagram)
            changed[bit // 8] ^= 1 << bit % 8
            assert native.answer(HOME, bytes(changed)) is None


def test_any_octets_are_read_within_bounds() -> None:
    rng, native = random.Random(9), answerer(KEYS, HOME)
    for _ in range(5000):
        body = rng.randbytes(4 * rng.randrange(30))
        head = b"\x00\x01" + len(body).to_bytes(2, "big") + stun.COOKIE + rng.randbytes(12)
        assert native.answer(HOME, head + body) is None
    assert native.answer(HOME, b"") is None


def test_an_agent_that_still_waits_for_something_hears_all_checks() -> None:
    heard = Agent(OURS, False, tie_breaker=2**63)
    check = honest(random.Random(10)).write()
    heard.received(AT_HOME, check, 0.0)
    assert heard.settled(0) == ()
    heard.set_remote(THEIRS, 0.0)
    assert heard.settled(0) == ()
    controlling = Agent(OURS, True, tie_breaker=2**63)
    controlling.set_remote(THEIRS, 0.0)
    controlling.received(AT_HOME, honest(random.Random(10), replace(KEYS, controlling=True)).write(), 0.0)
    assert controlling.settled(0) == ()


# Over sockets.


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_a_check_is_answered_from_the_port_that_it_came_to(
    host: str, plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    phone = phones(host)
    port, side = local_ports(plane, "::1" if ":" in host else "127.0.0.1")
    source: Address = phone.getsockname()[:2]
    id = plane.allocate()
    plane.apply([rule(replace(KEYS, settled=(source,)), source, id=id, port=port)])
    datagram = honest(random.Random(11)).write()
    before = time.monotonic_ns()
    phone.sendto(datagram, side)
    answer, name = phone.recvfrom(2000)
    assert (answer, name[:2]) == (stun.success(stun.parse(datagram), source, KEYS.key), side)
    counted(plane, "stun_answered", 1)
    row = plane.counters()[id]
    assert before <= int(row["last_check"]) <= time.monotonic_ns()
    assert (int(row["last_packet"]), int(row["sent_packets"]), int(row["stun"])) == (0, 0, 0)
    assert plane.events() == []


def test_what_is_not_answered_goes_up_as_it_came(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    phone = phones("127.0.0.2")
    port, side = local_ports(plane, "127.0.0.1")
    source: Address = phone.getsockname()
    plane.apply([rule(replace(KEYS, settled=(source,)), source, id=plane.allocate(), port=port)])
    forged = bytearray(honest(random.Random(12)).write())
    draft = honest(random.Random(12))
    unsigned = replace(draft, key=b"wrong").write()
    for datagram in (bytes(forged[:-1]) + bytes([forged[-1] ^ 1]), unsigned):
        phone.sendto(datagram, side)
        assert select.select([plane.fileno()], [], [], 5.0)[0]
        assert plane.events() == [Stun(port, source, datagram)]
    assert plane.totals()["stun_answered"] == 0


def test_peers_that_share_a_port_are_told_apart_by_their_ufrags(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    phone = phones("127.0.0.2")
    port, side = local_ports(plane, "127.0.0.1")
    source: Address = phone.getsockname()
    ids = [plane.allocate() for _ in range(3)]
    peers = [None, replace(KEYS, remote_ufrag="other", settled=(source,)), replace(KEYS, settled=(source,))]
    plane.apply(
        [
            Rule(id, port, None, Learn.NOBODY, sources=(source,), stun=True, stun_keys=keys)
            for id, keys in zip(ids, peers, strict=True)
        ]
    )
    phone.sendto(honest(random.Random(13)).write(), side)
    assert phone.recv(2000)
    counted(plane, "stun_answered", 1)
    assert [int(plane.counters()["stun_answered"][id]) for id in ids] == [0, 0, 1]


def test_a_source_gets_fifty_answers_per_second_and_others_get_theirs(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    loud, quiet = phones("127.0.0.2"), phones("127.0.0.3")
    port, side = local_ports(plane, "127.0.0.1")
    sources: tuple[Address, ...] = (loud.getsockname(), quiet.getsockname())
    id = plane.allocate()
    wanted = rule(replace(KEYS, settled=sources), *sources, id=id, port=port)
    plane.apply([wanted])
    rng = random.Random(14)
    datagrams = [honest(rng).write() for _ in range(CHECKS_PER_SECOND + 20)]
    for datagram in datagrams:
        loud.sendto(datagram, side)
    counted(plane, "stun_limited", 20)
    plane.apply([replace(wanted, remote=sources[0], sources=sources[::-1])])
    loud.sendto(datagrams[0], side)
    counted(plane, "stun_limited", 21)
    quiet.sendto(datagrams[0], side)
    assert quiet.recv(2000)
    counted(plane, "stun_answered", CHECKS_PER_SECOND + 1)
    assert plane.events() == []


def test_an_allowance_is_renewed_after_a_second() -> None:
    allowance = fake_stun.Allowance()
    assert sum(allowance.take(10.0) for _ in range(60)) == CHECKS_PER_SECOND
    assert not allowance.take(10.9)
    assert allowance.take(11.0)


def test_a_username_that_no_peer_may_have_is_refused_by_the_plane() -> None:
    keys = replace(KEYS, remote_ufrag="u" * 257, ufrag="ours8888")
    with pytest.raises(ValueError, match="username"):
        CheckAnswerer(rule(keys))


def test_without_integrity_nothing_is_answered() -> None:
    draft = Draft(honest(random.Random(15)).attributes, key=None)
    assert answerer(KEYS, HOME).answer(HOME, draft.write()) is None


def counted(plane: NativePlane, name: str, count: int) -> None:
    end = time.monotonic() + 5
    while plane.totals()[name] < count:
        assert time.monotonic() < end, plane.totals()
        select.select([], [], [], 0.001)
    assert plane.totals()[name] == count

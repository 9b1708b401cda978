"""Callers who name our own sockets, or addresses that lead nowhere, as theirs."""

from __future__ import annotations

import pytest

from relay.calls.distrust import OWN_PORT, OWN_SERVICE, SCOPE
from relay.calls.resources import LocalAddress
from relay.forward.rule import Address
from sdp.ice import read
from tests.relay.calls.desk import ALICE, BOB, ICE, RELAY, Desk, sdp

NG: Address = ("192.0.2.1", 2223)
LOOPBACK = "127.0.0.1"
KEYS = ICE[:2]
NOWHERE = ["127.0.0.1", "127.1.2.3", "169.254.169.254", "224.0.0.1", "255.255.255.255", "0.0.0.0", "0.1.2.3"]
NOWHERE6 = ["::1", "fe80::1", "ff02::1", "::", "::ffff:127.0.0.1", "0:0:0:0:0:ffff:7f00:1"]


def desk(at: str = RELAY) -> Desk:
    made = Desk((LocalAddress("default", at, at),))
    made.registry.distrust.serves = lambda remote: remote == NG
    return made


def lite(host: str, *attributes: str) -> str:
    return sdp(host, 10000, *KEYS, *attributes).replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")


def candidate(address: str, port: int) -> str:
    return f"candidate:1 1 udp 99 {address} {port} typ host"


def sent_to(desk: Desk, remote: Address) -> int:
    return sum(to == remote for _, to, _ in desk.box.sent)


def remotes(desk: Desk) -> set[Address | None]:
    return {rule.remote for rule in desk.box.rules.values()}


@pytest.mark.parametrize(
    ("named", "reason"),
    [(NG, OWN_SERVICE), ((RELAY, 30001), OWN_PORT), ((LOOPBACK, 2223), SCOPE), ((LOOPBACK, 53), SCOPE)],
)
@pytest.mark.parametrize("how", ["offer", "answer", "fragment"])
def test_no_check_goes_to_a_candidate_that_is_no_phones(named: Address, reason: str, how: str) -> None:
    relay = desk()
    line = candidate(*named)
    if how == "offer":
        relay.offer(lite(ALICE, line), ICE="force")
    elif how == "answer":
        relay.offer(sdp(ALICE), ICE="force")
        relay.answer(lite(BOB, line))
    else:
        relay.offer(lite(ALICE), ICE="force")
        body = f"m=audio 9 RTP/AVP 0\r\na={line}\r\n"
        relay.command("offer", sdp=body, call_id="call", from_tag="A", flags=["fragment"])
    assert sent_to(relay, named) == 0
    assert relay.registry.distrust.counts[reason] == 1


def test_a_candidate_of_a_phone_is_checked() -> None:
    relay = desk()
    relay.offer(lite(ALICE, candidate(ALICE, 2223)), ICE="force")
    assert sent_to(relay, (ALICE, 2223)) == 1
    assert not any(relay.registry.distrust.counts.values())


@pytest.mark.parametrize(("named", "reason"), [(NG, OWN_SERVICE), ((LOOPBACK, 2223), SCOPE)])
@pytest.mark.parametrize("media", ["audio {port} RTP/AVP 0", "image {port} udptl t38"])
def test_no_media_goes_where_we_listen_for_commands(named: Address, reason: str, media: str) -> None:
    relay = desk()
    line = media.format(port=named[1])
    relay.offer(sdp(named[0]).replace("audio 10000 RTP/AVP 0", line))
    relay.answer(sdp(BOB, 20000).replace("audio 20000 RTP/AVP 0", media.format(port=20000)))
    assert named not in remotes(relay)
    assert relay.registry.distrust.counts[reason] >= 1


def test_no_rtcp_goes_where_we_listen_for_commands() -> None:
    relay = desk()
    relay.offer(sdp(ALICE, 10000, f"rtcp:{NG[1]} IN IP4 {NG[0]}"))
    relay.answer(sdp(BOB, 20000))
    assert remotes(relay) == {(ALICE, 10000), None, (BOB, 20000), (BOB, 20001)}


@pytest.mark.parametrize("address", NOWHERE + NOWHERE6)
def test_nothing_goes_to_an_address_that_leads_nowhere(address: str) -> None:
    at = "2001:db8::1" if ":" in address else RELAY
    relay = desk(at)
    relay.offer(lite(address, candidate(address, 5000)), ICE="force")
    relay.answer(sdp("2001:db8::2" if ":" in at else BOB, 20000))
    assert not relay.box.sent
    assert not [to for to in remotes(relay) if to is not None and to[1] == 10000]


@pytest.mark.parametrize(("at", "peer"), [("127.0.0.1", "127.0.0.2"), ("169.254.0.1", "169.254.0.9")])
def test_a_relay_on_loopback_or_on_a_link_serves_phones_there(at: str, peer: str) -> None:
    relay = desk(at)
    relay.offer(lite(peer, candidate(peer, 5000)), ICE="force")
    relay.answer(sdp(peer, 20000))
    assert sent_to(relay, (peer, 5000)) == 1
    assert (peer, 20000) in remotes(relay)


def test_a_media_port_of_ours_is_known_however_it_is_written() -> None:
    relay = Desk((LocalAddress("default", "2001:db8::1", "2001:db8::1"),))
    relay.offer(lite("2001:db8::7", candidate("2001:DB8:0::1", 30001)), ICE="force")
    assert not relay.box.sent
    assert relay.registry.distrust.counts[OWN_PORT] == 1


@pytest.mark.parametrize("ufrag", ["x d7:command4:pinge", "u" * 20_000])
@pytest.mark.parametrize("how", ["offer", "answer"])
def test_a_phone_whose_ufrag_is_none_is_served_without_ice(ufrag: str, how: str) -> None:
    relay = desk()
    strange = lite(ALICE, candidate(ALICE, 5000)).replace("abcd", ufrag)
    if how == "offer":
        offer = relay.offer(strange, ICE="force")
        answer = relay.answer(sdp(BOB, 20000, *ICE[:2]))
        assert read(offer, offer.medias[0]).offered
        assert not read(answer, answer.medias[0]).offered
    else:
        relay.offer(sdp(BOB, 20000), ICE="force")
        relay.answer(strange)
    assert not relay.box.sent
    assert (ALICE, 10000) in remotes(relay)
    assert relay.registry.ice_flaws["bad-credentials"] == 1

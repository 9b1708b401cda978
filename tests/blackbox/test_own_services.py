"""Callers who want the relay to send commands to its own ng socket. The victim's call is still there."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.blackbox.daemon import ADDRESS, Daemon, wait_until
from tests.blackbox.description import plain, sdp
from tests.blackbox.dialogue import Dialogue
from tests.blackbox.phone import Phone, told
from tests.ng import Address, NgClient, encode

S_A = plain()
VICTIM = "victim"
DELETE = encode({"command": "delete", "call-id": VICTIM, "delete-delay": 0})
EVIL = f"x {DELETE.decode()}"
"""As an ufrag: what comes before it in a check is the cookie."""
PHONE = "127.0.2.66"
QUIET = 0.3
"""Seconds in which a check leaves and arrives that is going to."""


@dataclass
class Relay:
    """With an ng socket that listens on every address, beside its usual one."""

    daemon: Daemon
    everywhere: int

    def addresses(self) -> list[Address]:
        """Some of those that lead to its ng sockets."""
        hosts = (ADDRESS, "127.0.0.1", "127.9.9.9")
        return [self.daemon.ng, *((host, self.everywhere) for host in hosts)]

    def heard(self) -> float:
        """Datagrams that came to them and were no commands of a proxy."""
        return self.daemon.metric("icerelay_ng_unanswerable_total") + self.daemon.metric(
            "icerelay_ng_own_total"
        )


@pytest.fixture(scope="module")
def started_relay() -> Iterator[Relay]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("0.0.0.0", 0))
        port = probe.getsockname()[1]
    options = [f"--listen-ng=0.0.0.0:{port}", "--port-min=25000", "--port-max=25199", "--delete-delay=0"]
    daemon = Daemon(options)
    yield Relay(daemon, port)
    assert daemon.stop() == 0


@pytest.fixture
def relay(started_relay: Relay) -> Iterator[Relay]:
    """It has a call, which must outlive the test, and must not hear of its own media ports."""
    daemon = started_relay.daemon
    Dialogue(daemon.client, VICTIM).offer(S_A)
    before = started_relay.heard()
    yield started_relay
    assert VICTIM in daemon.client.calls()
    assert started_relay.heard() == before
    daemon.clear()


def lite(ufrag: str, *candidates: Address, host: str = PHONE) -> str:
    lines = [
        f"a=candidate:{number} 1 udp {99 - number} {address} {port} typ host"
        for number, (address, port) in enumerate(candidates)
    ]
    keys = (f"a=ice-ufrag:{ufrag}", "a=ice-pwd:abcdefghijklmnopqrstuv")
    return plain(host, 10000, session=["a=ice-lite"]) + sdp(*keys, *lines)


@pytest.mark.parametrize("how", ["offer", "answer", "fragment"])
@pytest.mark.parametrize("ufrag", ["abcd", EVIL])
def test_the_relay_checks_no_ng_socket_of_its_own(relay: Relay, how: str, ufrag: str) -> None:
    call = Dialogue(relay.daemon.client, "mine")
    with Phone(PHONE) as phone:
        named = (*relay.addresses(), phone.rtp.address)
        if how == "offer":
            call.offer(lite(ufrag, *named), ICE="force")
        elif how == "answer":
            call.offer(S_A, ICE="force")
            call.answer(lite(ufrag, *named))
        else:
            call.offer(lite(ufrag), ICE="force")
            call.ask(
                "offer", sdp=f"m=audio 9 RTP/AVP 0\r\n{_candidates(named)}", from_tag="A", flags=["fragment"]
            )
        assert phone.rtp.is_readable(QUIET) is (ufrag == "abcd")


def _candidates(named: tuple[Address, ...]) -> str:
    return "".join(line + "\r\n" for line in lite("abcd", *named).split("\r\n") if "candidate" in line)


@pytest.mark.parametrize("place", range(4))
def test_what_a_phone_sends_as_it_likes_does_not_go_to_an_ng_socket(relay: Relay, place: int) -> None:
    host, port = relay.addresses()[place]
    call = Dialogue(relay.daemon.client, "mine")
    with Phone(PHONE) as phone:
        fax = "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=image {1} udptl t38\r\n"
        offered = call.offer(fax.format(host, port))
        call.answer(fax.format(*phone.rtp.address))
        before = relay.daemon.metric("icerelay_dropped_packets_total", "no_peer")
        phone.rtp.send(told(offered), b"z " + encode({"command": "list"}))
        phone.rtp.send(told(offered), b"zz " + DELETE)
        wait_until(
            lambda: relay.daemon.metric("icerelay_dropped_packets_total", "no_peer") == before + 2,
            "both are dropped",
        )
        assert not phone.rtp.waiting()


def test_a_proxy_on_this_host_may_have_a_port_in_the_media_range(relay: Relay) -> None:
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.bind((ADDRESS, 25100))
    with NgClient(relay.daemon.ng, own=own) as proxy:
        assert proxy.ask("ping") == {"result": "pong"}

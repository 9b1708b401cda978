"""Whatever comes in, the relay answers the truth, keeps nothing of it, and serves the next one."""

import json
import socket
import urllib.request
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.blackbox.daemon import ADDRESS, Daemon, wait_until
from tests.blackbox.description import plain, sdp
from tests.blackbox.dialogue import Dialogue, described
from tests.ng import NgClient, Value, decode, encode

S_A = plain()
S_B = plain("198.51.100.2", 20000, user="bob", version=5)
LITE = plain(session=["a=ice-lite"]) + sdp("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv")


class Untouched:
    """What a relay holds when it has no calls; ``check`` says whether it is so again."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        daemon.metric("rtpengine_ports_used")
        self._descriptors = daemon.descriptors
        self._log = len(daemon.log)

    def check(self) -> None:
        """No call, no port, no descriptor more than at the start, and a ping is answered."""
        daemon = self._daemon
        assert daemon.client.ask("ping") == {"result": "pong"}
        assert daemon.client.calls() == []
        wait_until(lambda: daemon.metric("rtpengine_ports_used") == 0, "all ports are free")
        wait_until(lambda: daemon.descriptors <= self._descriptors, "descriptors are as at the start")
        assert "Traceback" not in daemon.log[self._log :], daemon.log[self._log :]


@pytest.fixture
def untouched(daemon: Daemon) -> Iterator[Untouched]:
    """Checks after the test that it left nothing behind."""
    before = Untouched(daemon)
    yield before
    before.check()


@pytest.fixture
def refused(daemon: Daemon, untouched: Untouched) -> NgClient:
    """Asks the shared daemon; afterwards nothing must be left."""
    return daemon.client


# Codec.


BROKEN = [
    b"", b"i", b"i-e", b"ie", b"i1", b"i--1e", b"5:abc", b"-1:", b"1", b":", b"l", b"d", b"d1:a", b"di1ei2ee",
    b"x", b"e1:a", b"99999999999999999999999:", b"i99999999999999999999999999e", b"01:a", b"d1:ae", b"+1:a",
    b"\xb2:ab", b"i\xb2e",
]  # fmt: skip


@pytest.mark.parametrize("depth", [0, 1, 2, 5, 20])
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("opening", [b"l", b"d1:k"])
def test_bencode_that_is_broken_at_any_depth_is_refused(
    refused: NgClient, opening: bytes, broken: bytes, depth: int
) -> None:
    payload = b"d7:command4:ping1:v" + opening * depth + broken
    assert decode(refused.payload(payload)) == {
        "result": "error", "error-reason": "Could not decode bencode dictionary",
    }  # fmt: skip


@pytest.mark.parametrize("depth", [1, 2, 5, 20])
@pytest.mark.parametrize("broken", ["", "{", "[", '"', "tru", "1e", "{1:2}", "[1,]", '{"a"}', "'a'", "\\"])
@pytest.mark.parametrize("opening", ["[", '{"k":'])
def test_json_that_is_broken_at_any_depth_is_refused(
    refused: NgClient, opening: str, broken: str, depth: int
) -> None:
    payload = '{"command":"ping","v":' + opening * depth + broken
    reply = json.loads(refused.payload(payload.encode()))
    assert reply == {"result": "error", "error-reason": "Failed to parse JSON document"}


@pytest.mark.parametrize("opening", [b"l", b"d", b"d1:k", b"ld1:k"])
def test_bencode_nested_thousands_of_levels_deep_is_refused(refused: NgClient, opening: bytes) -> None:
    payload = b"d1:v" + opening * (60_000 // len(opening))
    assert decode(refused.payload(payload))["error-reason"] == "Could not decode bencode dictionary"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"k":', "}")])
@pytest.mark.parametrize("closed", [False, True])
def test_json_nested_thousands_of_levels_deep_is_refused(
    refused: NgClient, opening: str, closing: str, closed: bool
) -> None:
    depth = 10_000
    payload = '{"command":"ping","v":' + opening * depth + ("1" + closing * depth + "}") * closed
    assert json.loads(refused.payload(payload.encode()))["error-reason"] == "Failed to parse JSON document"


@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"d", b"1", b"l", b"{", b" ", b"i1e"])
@pytest.mark.parametrize("head", [b"", b"d", b"{", b"d7:command4:pinge"])
def test_a_datagram_full_of_nonsense_is_answered(refused: NgClient, head: bytes, filling: bytes) -> None:
    payload = (head + filling * 65_000)[:65_000]
    reply = refused.payload(payload)
    assert reply
    assert len(reply) < 200


def test_a_string_that_is_longer_than_the_datagram_is_refused(refused: NgClient) -> None:
    assert decode(refused.payload(b"d7:command5:offer3:sdp65000:v=0e"))["result"] == "error"


@pytest.mark.parametrize("value", [5, -1, [], {}, ["a", "b"], {"a": "b"}, [[]], "", "\0"])
@pytest.mark.parametrize(
    "key", ["sdp", "call-id", "from-tag", "to-tag", "flags", "received-from", "TOS", "ICE"]
)
@pytest.mark.parametrize("command", ["offer", "answer", "delete", "query", "list"])
def test_a_value_of_a_strange_kind_never_fails_inside_the_relay(
    daemon: Daemon, command: str, key: str, value: Value
) -> None:
    before = Untouched(daemon)
    message: dict[str, Value] = {"sdp": S_A, "call-id": "strange", "from-tag": "A", "to-tag": "B"}
    reply = daemon.client.send_message({**message, key: value, "command": command})
    assert reply["result"] in ("ok", "error")
    assert reply.get("error-reason") != "Internal error"
    daemon.clear()
    before.check()


# Descriptions.


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("nonsense", "Failed to parse SDP"),
        ("\0" * 1000, "Failed to parse SDP"),
        ("v" * 60_000, "Failed to parse SDP"),
        ("INVITE sip:bob@example.com SIP/2.0\r\n\r\n" + S_A, "Failed to parse SDP"),
        ("v=0\r\n" * 5000, "Error rewriting SDP"),
        (S_A.replace("c=IN IP4 198.51.100.1\r\n", ""), "Incomplete SDP specification"),
        (S_A.partition("m=")[0], "Error rewriting SDP"),
    ],
)
def test_a_body_that_is_not_sdp_is_refused(refused: NgClient, body: str, reason: str) -> None:
    reply = refused.ask("offer", call_id="bad", from_tag="A", sdp=body)
    assert reply == {"result": "error", "error-reason": reason}


@pytest.mark.parametrize(
    "line",
    [
        "m=", "m=audio", "m=audio 10000", "m=audio x RTP/AVP 0", "m=audio -1 RTP/AVP 0",
        "m=audio 65536 RTP/AVP 0", "m=audio 99999999999999999999 RTP/AVP 0",
        "m=audio \N{ARABIC-INDIC DIGIT ONE} RTP/AVP 0", "m=audio 10000/x RTP/AVP 0",
    ],
)  # fmt: skip
def test_a_broken_media_line_is_refused(refused: NgClient, line: str) -> None:
    reply = refused.ask("offer", call_id="bad", from_tag="A", sdp=S_A + sdp(line))
    assert (reply["result"], reply["error-reason"]) == ("error", "Failed to parse SDP")


HUGE = "9" * 5000
"""More digits than Python turns into an integer."""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("audio 10000", f"audio {HUGE}"),
        ("audio 10000", f"audio 10000/{HUGE}"),
        ("AVP 0 8", f"AVP {HUGE} 8"),
        ("alice 1 1 ", f"alice 1 {HUGE} "),
        ("a=rtpmap:0 ", f"a=rtpmap:{HUGE} "),
        ("t=0 0", f"t={HUGE} 0"),
        ("a=rtpmap:0 ", f"a=rtcp:{HUGE}\r\na=rtpmap:0 "),
    ],
)
def test_a_number_of_thousands_of_digits_never_fails_inside_the_relay(
    daemon: Daemon, call: Dialogue, old: str, new: str
) -> None:
    before = Untouched(daemon)
    reply = call.ask("offer", sdp=S_A.replace(old, new, 1), from_tag="A", replace=["sdp-version"])
    assert reply.get("error-reason") in (None, "Failed to parse SDP")
    daemon.clear()
    before.check()


@pytest.mark.parametrize("connection", ["", "IN", "IN IP4", "IN IP4 ", "ATM NSAP x", "IN IP9 1.2.3.4"])
def test_a_broken_connection_line_is_refused(refused: NgClient, connection: str) -> None:
    body = S_A.replace("IN IP4 198.51.100.1\r\nt=", f"{connection}\r\nt=")
    assert refused.ask("offer", call_id="bad", from_tag="A", sdp=body)["result"] == "error"


@pytest.mark.parametrize(
    "address",
    [
        "999.1.1.1", "host.example.com", "224.0.0.1", "255.255.255.255", "fe80::1%eth0", "127.1",
        "::ffff:1.2.3.4",
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["connection", "rtcp", "lite candidate"])
def test_an_address_that_cannot_be_sent_to_is_not_sent_to(
    daemon: Daemon, call: Dialogue, address: str, where: str
) -> None:
    """Names are not resolved; such a peer is reached where its packets come from, or not at all."""
    before = Untouched(daemon)
    family = "IP6" if ":" in address else "IP4"
    bodies = {
        "connection": S_A.replace("c=IN IP4 198.51.100.1", f"c=IN {family} {address}"),
        "rtcp": S_A + f"a=rtcp:10001 IN {family} {address}\r\n",
        "lite candidate": LITE + f"a=candidate:1 1 udp 1 {address} 10000 typ host\r\n",
    }
    reply = call.ask("offer", sdp=bodies[where], from_tag="A", address_family="IP4")
    assert reply["result"] == "ok" or reply["error-reason"] == "Incomplete SDP specification"
    if reply["result"] == "ok":
        assert described(reply).address() == ADDRESS
    daemon.clear()
    before.check()


def test_more_medias_than_there_are_ports_are_refused(refused: NgClient) -> None:
    body = S_A + "m=audio 4 RTP/AVP 0\r\n" * 2500
    reply = refused.ask("offer", call_id="bad", from_tag="A", sdp=body)
    assert reply["result"] == "error"


@pytest.mark.parametrize("mode", ["force", "remove", "optional", "force-relay"])
def test_as_many_candidates_as_a_datagram_holds_are_dealt_with(
    daemon: Daemon, call: Dialogue, mode: str
) -> None:
    before = Untouched(daemon)
    count = 1300
    many = "".join(f"a=candidate:{number} 1 udp 9 192.0.2.1 9 typ host\r\n" for number in range(count))
    offer = call.offer(S_A + sdp("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv") + many, ICE=mode)
    ours = 0 if mode == "remove" else 2
    kept = count if mode in ("optional", "force-relay") else 0
    assert len(offer.media.candidates) == kept + ours
    daemon.clear()
    before.check()


def test_a_broken_candidate_is_nobodys(daemon: Daemon, call: Dialogue) -> None:
    before = Untouched(daemon)
    for broken in ("", "1", "1 1 udp x 192.0.2.1 9 typ host", "1 9 udp 1 192.0.2.1 9 typ host", "\xff" * 9):
        lines = sdp("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv", f"a=candidate:{broken}")
        assert len(call.offer(S_A + lines, ICE="force").media.candidates) == 2
    daemon.clear()
    before.check()


def test_a_description_that_outgrows_a_datagram_is_refused(refused: NgClient) -> None:
    """It fits on the way in, and no more once our candidates are added."""
    body = S_A + ("a=x:" + "y" * 1000 + "\r\n") * 64
    body += "a=z:" + "z" * (65_300 - len(body)) + "\r\n"
    reply = refused.ask("offer", call_id="bad", from_tag="A", sdp=body, ICE="force")
    assert (reply["result"], reply.get("error-reason")) == ("error", "Error rewriting SDP")


def test_an_answer_that_fails_leaves_the_call_as_it_was(daemon: Daemon, call: Dialogue) -> None:
    offered = call.offer(S_A)
    bad = S_B + "m=video 12000 RTP/AVP 96\r\nc=\r\n"
    assert call.ask("answer", sdp=bad, from_tag="A", to_tag="B")["result"] == "error"
    assert "B" not in call.tags
    assert daemon.metric("rtpengine_ports_used") == 4
    call.answer(S_B)
    assert call.offer(S_A, to_tag="B").media.port == offered.media.port


# Ports and descriptors.


@pytest.fixture
def small() -> Iterator[Daemon]:
    """Four ports: one call."""
    daemon = Daemon(["--port-min=24000", "--port-max=24003", "--delete-delay=0"])
    yield daemon
    assert daemon.stop() == 0


RAN_OUT = {"result": "error", "error-reason": "Ran out of ports"}


def test_a_second_call_in_a_range_of_four_ports_is_refused_and_the_first_goes_on(small: Daemon) -> None:
    before = Untouched(small)
    one, two = Dialogue(small.client, "one"), Dialogue(small.client, "two")
    offered = one.offer(S_A)
    for _ in range(3):
        assert two.ask("offer", sdp=S_A, from_tag="A") == RAN_OUT
        assert small.client.calls() == ["one"]
    assert small.metric("rtpengine_ports_used") == 4
    assert one.offer(S_A).text == offered.text
    one.answer(S_B)
    one.ask("delete")
    before.check()
    wait_until(lambda: small.metric("rtpengine_ports_free") == 4, "four ports are free")
    two.offer(S_A)
    two.ask("delete")
    before.check()


def test_a_branch_for_which_there_is_no_port_is_refused_and_the_call_goes_on(small: Daemon) -> None:
    before = Untouched(small)
    call = Dialogue(small.client, "one")
    call.offer(S_A, via_branch="b1")
    call.answer(S_B, via_branch="b1")
    report = call.query()
    assert call.ask("offer", sdp=S_A, from_tag="A", via_branch="b2") == RAN_OUT
    after = call.query()
    assert after["tags"] == report["tags"]
    call.ask("delete")
    before.check()


def test_a_media_for_which_there_is_no_port_leaves_nothing_of_the_others(small: Daemon) -> None:
    before = Untouched(small)
    two_medias = S_A + sdp("m=video 12000 RTP/AVP 96")
    assert small.client.ask("offer", call_id="x", from_tag="A", sdp=two_medias) == RAN_OUT
    before.check()


def hold(ports: Sequence[int]) -> list[socket.socket]:
    """Another program that has bound these ports."""
    held = []
    for port in ports:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((ADDRESS, port))
        held.append(sock)
    return held


def test_ports_that_other_programs_hold_are_another_error_than_ours_in_use(small: Daemon) -> None:
    before = Untouched(small)
    others = hold(range(24000, 24004))
    try:
        for _ in range(3):
            reply = small.client.ask("offer", call_id="x", from_tag="A", sdp=S_A)
            assert reply["result"] == "error"
            assert reply["error-reason"] != RAN_OUT["error-reason"]
            assert "24000-24003" in str(reply["error-reason"])
            assert "other programs" in str(reply["error-reason"])
            before.check()
    finally:
        for sock in others:
            sock.close()


def test_ports_that_other_programs_let_go_are_used_again(small: Daemon) -> None:
    before = Untouched(small)
    others = hold(range(24000, 24004))
    small.client.ask("offer", call_id="x", from_tag="A", sdp=S_A)
    for sock in others:
        sock.close()

    def works() -> bool:
        return small.client.ask("offer", call_id="x", from_tag="A", sdp=S_A)["result"] == "ok"

    wait_until(works, "an offer finds ports again")
    small.clear()
    before.check()


def test_a_port_that_another_program_holds_is_gone_round() -> None:
    others = hold([24102])
    daemon = Daemon(["--port-min=24100", "--port-max=24105", "--delete-delay=0"])
    try:
        call = Dialogue(daemon.client, "x")
        ports = {call.offer(S_A).media.port, call.answer(S_B).media.port}
        assert ports == {24100, 24104}
    finally:
        daemon.stop()
        others[0].close()


def test_a_limit_of_descriptors_is_an_error_and_leaks_none() -> None:
    daemon = Daemon(["--port-min=24200", "--port-max=24999", "--delete-delay=0"])
    try:
        before = Untouched(daemon)
        daemon.limit_files(daemon.descriptors + 10)
        replies = [
            daemon.client.ask("offer", call_id=f"call {number}", from_tag="A", sdp=S_A) for number in range(6)
        ]
        good = [reply for reply in replies if reply["result"] == "ok"]
        bad = {str(reply.get("error-reason")) for reply in replies if reply["result"] == "error"}
        assert len(good) in (1, 2)
        assert bad == {"Ran out of ports"}
        assert "no file descriptor left" in daemon.log
        assert len(daemon.client.calls()) == len(good)
        daemon.clear()
        daemon.limit_files(1000)
        before.check()
        assert daemon.client.ask("offer", call_id="after", from_tag="A", sdp=S_A)["result"] == "ok"
    finally:
        assert daemon.stop() == 0


def test_without_any_descriptor_left_ng_still_answers() -> None:
    daemon = Daemon(["--port-min=24200", "--port-max=24999", "--delete-delay=0"])
    try:
        daemon.limit_files(daemon.descriptors)
        assert daemon.client.ask("ping") == {"result": "pong"}
        reply = daemon.client.ask("offer", call_id="x", from_tag="A", sdp=S_A)
        assert reply["result"] == "error"
        assert daemon.client.ask("ping") == {"result": "pong"}
        daemon.limit_files(1000)
        assert daemon.client.ask("offer", call_id="x", from_tag="A", sdp=S_A)["result"] == "ok"
        with urllib.request.urlopen(f"http://{daemon.http[0]}:{daemon.http[1]}/ping", timeout=3.0) as page:
            assert page.read().strip() == b"pong"
    finally:
        assert daemon.stop() == 0


def test_an_interface_that_is_not_on_this_machine_is_named_at_the_start() -> None:
    with pytest.raises(AssertionError, match=r"--interface: 192\.0\.2\.77 is not an address of this machine"):
        Daemon(["--port-min=25000", "--port-max=25099"], interfaces=[ADDRESS, "away/192.0.2.77"])


def test_nothing_is_said_against_an_interface_that_can_be_used(daemon: Daemon) -> None:
    assert f"{ADDRESS} is not" not in daemon.log


# Random.

MESSAGES = [
    encode({"sdp": S_A, "ICE": "force", "call-id": "c", "from-tag": "A", "command": "offer"}),
    encode({"sdp": S_B, "call-id": "c", "from-tag": "A", "to-tag": "B", "command": "answer"}),
    encode({"call-id": "c", "from-tag": "A", "delete-delay": 0, "command": "delete"}),
    encode({"call-id": "c", "command": "query"}),
    json.dumps({"command": "offer", "sdp": S_A, "call-id": "c", "from-tag": "A"}).encode(),
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One of the messages with some of its bytes replaced, taken out, doubled or added to."""
    message = bytearray(draw(st.sampled_from(MESSAGES)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(message) - 1)))
        length = draw(st.integers(0, 12))
        piece = draw(st.binary(max_size=12) | st.just(bytes(message[at : at + length])))
        message[at : at + draw(st.sampled_from([0, length]))] = piece
    return bytes(message)


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(payload=mutated())
def test_any_mutation_of_a_message_gets_an_answer(daemon: Daemon, payload: bytes) -> None:
    before = Untouched(daemon)
    reply = daemon.client.payload(payload)
    assert reply[:1] == (b"{" if payload[:1] == b"{" else b"d")
    assert b"Internal error" not in reply
    daemon.clear()
    before.check()


BODIES = [
    S_A,
    S_B,
    plain(port=11000),
    plain("0.0.0.0"),
    plain("2001:db8::1"),
    S_A + "a=rtcp-mux\r\n",
    LITE,
    S_A + sdp("a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuv", "a=rtcp-mux"),
    S_A + sdp("m=video 12000 RTP/AVP 96", "m=image 13000 udptl t38", "m=message 14000 TCP/MSRP *"),
    S_A + sdp("m=video 0 RTP/AVP 96", "m=image 13000 udptl t38"),
    S_A.replace("m=audio 10000", "m=audio 0"),
    S_A + "m=audio 10000 RTP/AVP 0\r\nc=\r\n",
]
TAGS = ["A", "B", "C", ""]
OPTIONS: dict[str, list[Value]] = {
    "to-tag": [*TAGS],
    "via-branch": ["b1", "b2"],
    "ICE": ["force", "remove", "optional", "force-relay", "default"],
    "ICE-lite": ["forward", "backward"],
    "rtcp-mux": [["offer"], ["require"], ["demux"], ["accept"], ["reject"]],
    "flags": [["port-latching"], ["no-port-latching"], ["loop-protect"], ["to-tag"], ["trickle-ICE"]],
    "address-family": ["IP4", "IP6"],
    "direction": [["pub", "priv"], ["six", "nat"], ["nat", "six"], ["nowhere"]],
    "replace": [["origin", "sdp-version", "username", "session-name", "zero-address"]],
}


@st.composite
def commands(draw: st.DrawFn) -> dict[str, Value]:
    """Any command of one call, with some of the options that change what it holds."""
    kind = draw(st.sampled_from(["offer", "answer", "offer", "answer", "delete", "query"]))
    chosen = draw(st.lists(st.sampled_from(sorted(OPTIONS)), unique=True, max_size=4))
    options: dict[str, Value] = {key: draw(st.sampled_from(OPTIONS[key])) for key in chosen}
    if kind == "answer":
        options.setdefault("to-tag", draw(st.sampled_from(TAGS)))
    return {
        "sdp": draw(st.sampled_from(BODIES)), "call-id": "any", "from-tag": draw(st.sampled_from(TAGS)),
        **options, "command": kind,
    }  # fmt: skip


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(script=st.lists(commands(), min_size=1, max_size=12))
def test_any_sequence_of_commands_leaves_nothing_behind(
    networks: Daemon, script: list[dict[str, Value]]
) -> None:
    before = Untouched(networks)
    for message in script:
        reply = networks.client.send_message(message)
        assert reply.get("error-reason") != "Internal error"
        again = networks.client.send_message(message)
        if message["command"] == "offer" and "to-tag" not in message:
            assert again == reply
    networks.clear()
    before.check()

"""``icerelay explain``: a report in words, and errors that say what to do."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from relay.cli import main
from relay.explain import lines
from relay.ng import bencode, message
from relay.ng.bencode import Value

ICE: dict[str, Any] = {
    "mode": "relay",
    "why": "default",
    "dropped": 3,
    "candidates": [
        {"candidate": "1 1 UDP 9 192.0.2.1 30000 typ host", "action": "kept", "reason": "relay-inserted"},
        {"candidate": "2 1 udp 5 10.0.0.5 \x1b[2J typ host", "action": "dropped", "reason": "host-useless"},
        {"candidate": "3 1 udp 5 10.0.0.6 5 typ host", "action": "dropped", "reason": "of a later version"},
    ],
    "ways": [
        {"way": "v6", "n": 12, "p": "0.038", "lower": "0.000", "upper": "0.145"},
        {"way": "u", "n": 40, "p": "0.988", "lower": "0.952", "upper": "1.000", "t50": 180},
    ],
    "left out": ["v6"],
    "explored": ["t443"],
    "widened": 4250,
    "pairs": [
        {
            "local": "192.0.2.1:30000",
            "remote": "198.51.100.9:61000",
            "type": "prflx",
            "way": "u",
            "state": "selected",
        }
    ],
    "first check": 120,
    "usable": 180,
    "way": "u",
    "checks in": 4,
    "checks refused": 1,
    "checks out": 3,
    "checks answered": 2,
    "moves": 1,
    "moves failed": 2,
    "consent lost": 3,
}


def report(**ice: Any) -> dict[str, Any]:
    media = {
        "index": 1,
        "type": "audio",
        "ICE": {**ICE, **ice},
        "streams": [{"flags": ["RTP", "kernelized"]}],
    }
    return {"tags": {"A": {"tag": "A", "network": "0a1b2c3d", "medias": [media]}}}


def test_a_report_is_told_in_words() -> None:
    assert list(lines(report())) == [
        "party A, in a network whose hash begins with 0a1b2c3d",
        "  media 1 (audio): relay, because: default (nothing speaks for letting media past the relay)",
        "    candidates of the other phone and ours, and what this one was told, the best first:",
        "      kept     relay-inserted  1 1 UDP 9 192.0.2.1 30000 typ host",
        "      dropped  host-useless    2 1 udp 5 10.0.0.5 ?[2J typ host",
        "      dropped  of a later version  3 1 udp 5 10.0.0.6 5 typ host",
        "      relay-inserted: an address of the relay, which both phones reach",
        "      host-useless: an address of the phone's own network; the relay is reachable instead",
        "      and 1 more that were dropped",
        "    ways to us in its network, as known when it was told:",
        "      way   legs  worked    surely between     usable after",
        "      v6      12  3.8 %     0.0 % and 14.5 %   unknown",
        "      u       40  98.8 %    95.2 % and 100.0 %  180 ms",
        "    left out: v6; told 4250 ms after the answer, as it missed them",
        "    told to see whether they work by now: t443",
        "    pairs of an address of ours and one of the phone's:",
        "      selected  192.0.2.1:30000  198.51.100.9:61000  prflx",
        "    first check: 120 ms after the answer; media could flow: 180 ms after the answer, by u",
        "    checks that the plane did not answer by itself: 4 in, 1 refused, 3 out, 2 answered",
        "    moves: 1 made, 2 failed; paths that lost consent: 3",
        "    forwarded by: kernel",
    ]


def test_what_did_not_happen_is_told_as_such() -> None:
    quiet = report()
    ice = quiet["tags"]["A"]["medias"][0]["ICE"]
    for name in (
        "first check",
        "usable",
        "way",
        "ways",
        "left out",
        "explored",
        "widened",
        "pairs",
        "candidates",
    ):
        del ice[name]
    assert list(lines(quiet))[2:4] == [
        "    first check: none came; media could flow: never",
        "    checks that the plane did not answer by itself: 4 in, 1 refused, 3 out, 2 answered",
    ]


def test_a_call_whose_media_went_direct_is_not_said_to_have_failed() -> None:
    direct = report(mode="assist", why="same-site")
    ice = direct["tags"]["A"]["medias"][0]["ICE"]
    for name in (
        "first check",
        "usable",
        "way",
        "ways",
        "left out",
        "explored",
        "widened",
        "pairs",
        "candidates",
    ):
        del ice[name]
    assert list(lines(direct))[2:5] == [
        "    first check: none came; media could flow through the relay: never",
        "    the phones agreed on no path by the relay: media goes directly between them, if at all,",
        "    where the relay cannot see it",
    ]


def test_a_media_without_ice_and_a_report_that_was_cut_short_say_so() -> None:
    plain: dict[str, Any] = {"tags": {"A": {"medias": [{"index": 1, "type": "audio"}]}}}
    assert list(lines(plain)) == ["party A", "  media 1 (audio): no ICE"]
    assert list(lines({"warning": "too long"})) == ["note: too long"]


class Answering:
    """Something on an ng port, that answers each datagram with a payload."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked: list[dict[str, Value]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (found := self._socket.recvfrom(65536))[0] != b"stop":
            cookie, _, query = found[0].partition(b" ")
            self.asked.append(message.decode(query)[0])
            self._socket.sendto(b"another d6:result4:ponge", found[1])
            self._socket.sendto(cookie + b" " + self._payload, found[1])

    def stop(self) -> None:
        self._socket.sendto(b"stop", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


def explain(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["explain", *arguments])


def asked(payload: bytes) -> Result:
    relay = Answering(payload)
    result = explain("--listen-ng", relay.address, "a call")
    relay.stop()
    assert relay.asked == [{"command": "query", "call-id": "a call"}]
    return result


def test_the_relay_is_asked_once_and_its_reply_told() -> None:
    result = asked(bencode.encode({**report(), "result": "ok"}))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == list(lines(report()))


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (
            b"d6:result5:error12:error-reason15:Unknown call-ide",
            "has no such call: it has ended, or never began",
        ),
        (b"d6:result5:error12:error-reason4:busye", "refused: busy"),
        (b"nonsense", "a reply that is no ng message: Invalid NG data format"),
    ],
)
def test_an_answer_that_explains_nothing_is_one_line_and_status_1(payload: bytes, complaint: str) -> None:
    result = asked(payload)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("icerelay: ")
    assert complaint in result.stderr


def test_where_nobody_listens_is_one_line_and_status_1(tmp_path: Path) -> None:
    relay = Answering(b"")
    relay.stop()
    config = tmp_path / "icerelay.toml"
    config.write_text(f'interface = "127.0.0.1"\nlisten-ng = "{relay.address}"\n')
    for arguments in (["--listen-ng", relay.address], ["--config-file", str(config)]):
        result = explain(*arguments, "a call")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert f"no relay answers at {relay.address}: Connection refused; see --listen-ng" in result.stderr


def test_a_wrong_option_is_status_2() -> None:
    assert explain("--listen-ng", "nonsense", "a call").exit_code == 2
    assert explain("--config-file", "/missing.toml", "a call").exit_code == 2

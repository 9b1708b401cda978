from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.cli import main
from tests.relay.calls.desk import Desk


def serve(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["serve", "--check-config", *arguments])


def test_the_start_line_of_an_rtpengine_works() -> None:
    line = """
        -i pub/127.0.0.1!192.0.2.7 --interface=127.0.0.1 --listen-ng 127.0.0.1:2223 --table -1 -fE
        --pidfile=/run/x.pid -m 30000 -M40000 -L 7 --num-threads=4
    """
    result = serve(*line.split())
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "ignored, options of rtpengine that icerelay does not have: table, foreground, log-stderr",
        "the configuration is usable",
    ]


def test_a_wrong_value_ends_with_one_line_and_status_2() -> None:
    result = serve("--interface=127.0.0.1", "--port-min=70000")
    assert result.exit_code == 2
    assert result.stderr.startswith("icerelay: --port-min=70000: ports go from 1 to 65535")
    assert result.stderr.count("\n") == 1


def test_a_misspelt_option_is_an_error_with_a_suggestion() -> None:
    result = serve("--prot-min=1")
    assert result.exit_code == 2
    assert "--port-min" in result.stderr


def test_help_shows_our_options_only() -> None:
    text = serve("--help").stdout
    assert "--listen-ng" in text
    assert "--mqtt-host" not in text


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["serve", "-h"]])
def test_questions_are_answered_without_starting_anything(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 0


SEVENTEEN = str(Path(__file__).parents[1] / "data" / "sdp" / "made-up-seventeen-candidates-offer.sdp")


def plan(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, ["plan", *arguments], input=given)


def rows(lines: list[str]) -> list[tuple[str, str]]:
    """Action and reason of each candidate."""
    words = (line.split() for line in lines)
    return [(word[0], word[1]) for word in words if word[0] in ("kept", "dropped")]


def test_a_plan_says_of_every_candidate_what_would_become_of_it_and_what_that_saves() -> None:
    lines = plan(SEVENTEEN, "--network", "hq", "--network", "hq").stdout.splitlines()
    assert lines[0] == "media 1 (audio): assist, because: same-site (both phones are in one network)"
    counts = Counter(rows(lines))
    assert counts["kept", "direct-kept"] == 6
    assert counts["kept", "relay-inserted"] == 4
    assert sum(count for (action, _), count in counts.items() if action == "dropped") == 11
    assert lines[-3:] == [
        "  checks of a phone with one address per family: 12 without the relay, 6 with it;"
        " all are begun after 0.60 s, 0.30 s",
        "  saved: 6 checks, 0.30 s",
        "192.0.2.1 and 2001:db8::1 stand for the relay, which may have others",
    ]


def test_a_plan_says_when_the_relay_adds_more_than_it_saves() -> None:
    given = Path(SEVENTEEN).read_text()
    given = "\n".join(line for line in given.splitlines() if "candidate:" not in line) + "\n"
    assert (
        "  saved: nothing; 2 checks and 0.10 s more, for the way by the relay"
        in plan("-", given=given).stdout
    )


def test_a_plan_without_a_reason_to_go_direct_leaves_the_relay() -> None:
    lines = plan(SEVENTEEN).stdout.splitlines()
    assert lines[0].startswith("media 1 (audio): relay, because: default")
    assert {reason for action, reason in rows(lines) if action == "kept"} == {"relay-inserted"}


OFFERS = sorted((Path(__file__).parents[1] / "data" / "sdp").glob("*offer*.sdp"))
LITE_BUNDLE = """v=0
o=- 1 1 IN IP4 198.51.100.7
s=-
c=IN IP4 198.51.100.7
t=0 0
a=ice-lite
a=group:BUNDLE 0 1
m=audio 40000 RTP/AVP 0
a=mid:0
a=ice-ufrag:abcd
a=ice-pwd:pppppppppppppppppppppppp
a=rtcp-mux
a=candidate:1 1 UDP 2130706431 198.51.100.7 40000 typ host
a=candidate:1 2 UDP 2130706430 198.51.100.7 40001 typ host
m=video 40000 RTP/AVP 96
a=mid:1
a=ice-ufrag:abcd
a=ice-pwd:pppppppppppppppppppppppp
a=rtcp-mux
a=candidate:1 1 UDP 2130706431 198.51.100.7 40000 typ host
"""


@pytest.mark.parametrize("networks", [(), ("hq", "hq"), ("hq", "branch")])
@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(path.read_bytes().decode(), id=path.stem) for path in OFFERS),
        pytest.param(LITE_BUNDLE, id="lite-bundle"),
        pytest.param(LITE_BUNDLE.replace("a=ice-lite\n", ""), id="bundle"),
    ],
)
def test_a_plan_says_what_a_relay_does(text: str, networks: tuple[str, ...]) -> None:
    desk = Desk()
    between = {"network_legs": ",".join(networks)} if networks else {}
    desk.offer(text, ICE="optimize", **between)
    answerer = list(desk.command("query", call_id="call").reply["tags"].values())[1]
    done = [
        ((media["ICE"]["mode"], media["ICE"]["why"]) if "ICE" in media else None,
         Counter((one["action"], one["reason"]) for one in media.get("ICE", {}).get("candidates", ())))
        for media in answerer["medias"]
    ]  # fmt: skip
    given = [word for network in networks for word in ("--network", network)]
    planned: list[tuple[tuple[str, str] | None, Counter[tuple[str, str]]]] = []
    for line in plan("-", *given, given=text).stdout.splitlines():
        if line.startswith("media "):
            words = line.partition("): ")[2].replace(",", "").split()
            planned.append(((words[0], words[2]) if words[1] == "because:" else None, Counter()))
        elif line.startswith("  "):
            planned[-1][1].update(rows([line]))
    assert planned == done


def test_a_plan_follows_a_policy_and_reads_standard_input() -> None:
    given = Path(SEVENTEEN).read_text()
    result = plan("-", "--policy", "x assist=always drop=host,tcp direct=1", given=given)
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("  kept")] == [
        *["direct-kept"] * 2,
        *["relay-inserted"] * 4,
    ]


@pytest.mark.parametrize(
    ("arguments", "given", "complaint"),
    [
        (["-"], "junk", "icerelay: the description does not begin with v="),
        (["-"], "v=0\r\n", "icerelay: no media"),
        ([SEVENTEEN, "--policy", "x y"], None, "icerelay: y is no part of a policy"),
    ],
)
def test_a_plan_of_nonsense_is_one_line_and_status_2(
    arguments: list[str], given: str | None, complaint: str
) -> None:
    result = plan(*arguments, given=given)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(complaint)


def test_a_plan_says_that_a_rejected_media_needs_none() -> None:
    given = Path(SEVENTEEN).read_text().replace("m=audio 61001", "m=audio 0")
    assert plan("-", given=given).stdout.splitlines()[0] == "media 1 (audio): rejected, nothing to do"

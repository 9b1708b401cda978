from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.cli import main


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


def test_a_plan_says_of_every_candidate_what_would_become_of_it() -> None:
    lines = plan(SEVENTEEN, "--network", "hq", "--network", "hq").stdout.splitlines()
    assert lines[0] == "media 1 (audio): assist, because: same-site"
    assert sum(line.split()[0] == "kept" for line in lines) == 4
    assert sum(line.split()[0] == "dropped" for line in lines) == 13
    assert lines[-1] == (
        "  checks of a phone with one address per family: 14 without the relay, 5 with it;"
        " all are begun after 0.70 s, 0.25 s"
    )


def test_a_plan_without_a_reason_to_go_direct_leaves_the_relay() -> None:
    lines = plan(SEVENTEEN).stdout.splitlines()
    assert lines[0] == "media 1 (audio): relay, because: default"
    assert not any(line.split()[0] == "kept" for line in lines)


def test_a_plan_follows_a_policy_and_reads_standard_input() -> None:
    given = Path(SEVENTEEN).read_text()
    result = plan("-", "--policy", "x assist=always drop=host,tcp direct=1", given=given)
    assert [line.split()[1] for line in result.stdout.splitlines() if line.startswith("  kept")] == [
        "direct-kept"
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
    assert plan("-", given=given).stdout == "media 1 (audio): rejected, nothing to do\n"

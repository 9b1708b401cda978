from __future__ import annotations

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
        "ignored, options of rtpengine that icerelay does not have: table, foreground, log-stderr, pidfile",
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

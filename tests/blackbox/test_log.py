"""The log of the daemon as it runs: what a proxy or an app can write into it, and how much."""

import re

from tests.blackbox.daemon import Daemon
from tests.blackbox.description import plain


def test_a_flood_of_feedback_is_one_line_and_a_number() -> None:
    daemon = Daemon(("--port-min=25000", "--port-max=25099", "--delete-delay=0"))
    reasons = [daemon.client.ask("feedback", call_id="1", tag="A", ok="yes") for _ in range(1000)]
    refused = sum(reply.get("error-reason") == "too much feedback, try again later" for reply in reasons)
    assert daemon.client.ask("delete", call_id="1", flags=["fatal"])["result"] == "error"
    assert daemon.stop() == 0
    first, *more = [line for line in daemon.log.splitlines() if "too much feedback" in line]
    assert first.startswith("INFO icerelay.ng: refused: too much feedback, try again later (from 127.")
    numbers = [re.findall(r": (\d+) more like this in \d+ s$", line) for line in more]
    assert 1 <= len(numbers) <= 2, "the second one if this took more than ten seconds"
    assert 1 + sum(int(number) for (number,) in numbers) == refused > 100
    assert daemon.log.count("refused: Call-ID not found") == 1, "the flood hides nothing else"


def test_a_call_id_forges_no_line(daemon: Daemon) -> None:
    forged = "log\nERROR fake: line\r\x1b[2J\u2028" + "x" * 5000
    before = len(daemon.log)
    offer = daemon.client.ask("offer", call_id=forged, from_tag="A\nERROR fake: tag", sdp=plain())
    assert offer["result"] == "ok"
    daemon.client.ask("delete", call_id=forged, from_tag="A\nERROR fake: tag")
    daemon.client.ask("offer", call_id=forged, from_tag="A", sdp="v=0\nERROR fake: sdp")
    daemon.client.ask("ping", flags=["\nERROR fake: flag"])
    lines = daemon.log[before:].splitlines()
    assert [line for line in lines if line.startswith("INFO icerelay.call: call started")]
    assert [line for line in lines if line.startswith("WARNING icerelay.ng: ping: unknown flag")]
    assert not [line for line in lines if line.startswith("ERROR") or len(line) > 2200]
    assert "\x1b" not in daemon.log[before:]

"""Everything that Kamailio asked of rtpengine in the recordings, asked of the relay."""

from collections import defaultdict

import pytest

from tests.blackbox.comparison import Reader, Values, differences
from tests.blackbox.daemon import ADDRESS, Daemon
from tests.blackbox.known import KNOWN, explanation
from tests.blackbox.recording import SCENARIOS, exchanges
from tests.ng import NgClient, split

RECORDED_ADDRESS = "127.0.0.10"
"""Media address of the rtpengine in the recordings."""


def replay(daemon: Daemon, scenario: str) -> list[tuple[str, str, Values]]:
    """Sends all requests of a scenario; command, aspect and values of what differs, each once."""
    ours, recorded = Reader(ADDRESS), Reader(RECORDED_ADDRESS)
    found: dict[str, tuple[str, str, Values]] = {}
    with NgClient(daemon.ng) as client:
        for exchange in exchanges(scenario):
            reply = split(client.raw(exchange.datagram))[1]
            differing = differences(
                ours.aspects(exchange.request, reply),
                recorded.aspects(exchange.request, exchange.recorded),
            )
            for aspect, values in differing.items():
                difference = (str(exchange.request["command"]), aspect, values)
                found.setdefault(repr(difference), difference)
    return list(found.values())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_recorded_requests_get_the_recorded_replies_but_for_known_differences(
    daemon: Daemon, scenario: str
) -> None:
    unexplained = [
        f"{command}: {aspect}\n    ours     {values[0]}\n    recorded {values[1]}"
        for command, aspect, values in replay(daemon, scenario)
        if explanation(scenario, command, aspect, values) is None
    ]
    assert not unexplained, "\n".join(["not in the table of known differences:", *unexplained])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_repeats_of_a_recorded_request_get_identical_bytes(daemon: Daemon, scenario: str) -> None:
    replies = defaultdict(set)
    with NgClient(daemon.ng) as client:
        for exchange in exchanges(scenario):
            replies[exchange.cookie].add(client.raw(exchange.datagram))
    assert {cookie: len(different) for cookie, different in replies.items()} == dict.fromkeys(replies, 1)


def test_every_known_difference_is_still_there(daemon: Daemon) -> None:
    needed = set()
    for scenario in SCENARIOS:
        for command, aspect, values in replay(daemon, scenario):
            known = explanation(scenario, command, aspect, values)
            needed.add(known.name if known is not None else "")
        daemon.clear()
    assert [known.name for known in KNOWN if known.name not in needed] == []


def test_every_known_difference_has_a_name_of_its_own_and_a_reason() -> None:
    assert len({known.name for known in KNOWN}) == len(KNOWN)
    assert all(known.reason.endswith(".") for known in KNOWN)

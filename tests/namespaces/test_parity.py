"""The same calls over every plane: the same arrives, from the same places, and the same is counted.

What that is, the slow twin says (relay.forward.fake), which gets the same packets from the same sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.namespaces.lab import Lab, lab
from tests.namespaces.planes import PLANES, Kept, Subject, fake, settle_two_phones_on_one_network
from tests.namespaces.scenarios import SCENARIOS
from tests.namespaces.stage import Record, Stage, stage

Scenario = Callable[[Stage], None]


@pytest.fixture(scope="module", params=PLANES)
def kept(request: pytest.FixtureRequest) -> Kept:
    return PLANES[request.param]


@pytest.fixture(scope="module")
def machines(kept: Kept) -> Iterator[Lab]:
    with lab(checksums=kept.checksums) as built:
        if kept.one_network:
            settle_two_phones_on_one_network(built)
        yield built


def play(machines: Lab, kept: Kept, subject: Subject, v6: bool, scenario: Scenario) -> Record:
    with stage(machines, kept, subject, v6) as opened:
        scenario(opened)
        return opened.finish()


@pytest.mark.parametrize("v6", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_every_plane_does_what_the_slow_twin_does(
    machines: Lab, kept: Kept, scenario: Scenario, v6: bool
) -> None:
    with fake(machines) as twin:
        expected = play(machines, kept, twin, v6, scenario)
    with kept.open(machines) as subject:
        assert play(machines, kept, subject, v6, scenario) == expected
        carried = subject.in_kernel()
        assert (subject.by_shared() > 0) == kept.has_shared
    wanted = SCENARIOS[scenario] if kept.has_kernel else 0
    assert carried >= wanted if wanted else carried == 0
    assert any(expected.arrived.values())

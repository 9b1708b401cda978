"""One relay, one wire, one Kamailio for the whole run; phones for each test."""

from collections.abc import Generator, Iterator

import pytest

from tests.interop.kamailio import Kamailio
from tests.interop.phones import Phones
from tests.interop.relay import Relay, start_relay
from tests.interop.wire import Wire

PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture(scope="session")
def relay() -> Iterator[Relay]:
    relay = start_relay()
    yield relay
    relay.stop()


@pytest.fixture(scope="session")
def wire(relay: Relay) -> Iterator[Wire]:
    wire = Wire(relay.ng)
    yield wire
    wire.stop()


@pytest.fixture(scope="session")
def kamailio(relay: Relay, wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    kamailio = Kamailio(tmp_path_factory.mktemp("kamailio"), relay.ng, wire.address)
    yield kamailio
    kamailio.stop()


@pytest.fixture
def phones(relay: Relay, kamailio: Kamailio, request: pytest.FixtureRequest) -> Iterator[Phones]:
    """Phones for one test. Afterwards the relay runs and, unless the test failed half-way, knows no call."""
    marks = len(relay.log), len(kamailio.log)
    phones = Phones(kamailio.address)
    yield phones
    phones.close()
    print("--- relay:\n" + relay.log[marks[0] :] + "--- kamailio:\n" + kamailio.log[marks[1] :])
    assert relay.running, "the relay has ended"
    if request.node.stash.get(PASSED, False):
        relay.wait_for_no_calls()
    relay.forget_calls()

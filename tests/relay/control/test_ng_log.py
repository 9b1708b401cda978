"""What the log says of commands: which, of which call, and how urgent that is."""

import logging
from typing import Any

import pytest

from relay.calls.commands import Outcome
from relay.control.ng import NgServer
from relay.ng.errors import NO_PORTS, NgError
from relay.ng.request import Request
from tests.ng import encode, fresh_cookie

PROXY = ("192.0.2.9", 5060)


def logged(
    server: NgServer, caplog: pytest.LogCaptureFixture, command: str, **keys: Any
) -> logging.LogRecord:
    """The only line that the command is worth."""
    caplog.clear()
    message = {key.replace("_", "-"): value for key, value in keys.items()}
    with caplog.at_level(logging.DEBUG):
        server.datagram(fresh_cookie() + b" " + encode({"command": command, **message}), PROXY)
    (record,) = caplog.records
    return record


def refusing(request: Request) -> Outcome:
    raise NgError(NO_PORTS)


def accepting(request: Request) -> Outcome:
    return Outcome({"result": "ok"}, notes=("something of it",))


def breaking(request: Request) -> Outcome:
    raise RuntimeError("broken")


def test_a_refusal_names_command_call_and_parties(caplog: pytest.LogCaptureFixture) -> None:
    record = logged(NgServer(refusing), caplog, "answer", call_id="1@a", from_tag="A", to_tag="B")
    assert record.getMessage() == (
        f"refused: {NO_PORTS} (from 192.0.2.9:5060) command=answer call-id=1@a from-tag=A to-tag=B"
    )
    assert record.levelname == "WARNING"


@pytest.mark.parametrize("command", ["query", "delete", "list", "feedback"])
def test_a_refusal_that_costs_no_call_its_media_is_no_warning(
    caplog: pytest.LogCaptureFixture, command: str
) -> None:
    assert logged(NgServer(refusing), caplog, command, call_id="1@a").levelname == "INFO"


@pytest.mark.parametrize("command", ["offer", "answer", "play media"])
def test_a_refusal_that_the_script_or_the_operator_can_help_is_a_warning(
    caplog: pytest.LogCaptureFixture, command: str
) -> None:
    record = logged(NgServer(refusing), caplog, command, call_id="1@a")
    assert (record.levelname, f"command={command}" in record.getMessage()) == ("WARNING", True)


def test_what_was_not_understood_is_said_with_command_and_call(caplog: pytest.LogCaptureFixture) -> None:
    codec = {"strip": ["PCMA"]}
    keys: dict[str, Any] = {"call_id": "1@a", "from_tag": "A"}
    silent = NgServer(lambda request: Outcome({"result": "ok"}))
    record = logged(silent, caplog, "offer", codec=codec, **keys)
    assert record.getMessage() == "offer: not supported yet, ignored: codec-strip-PCMA call-id=1@a from-tag=A"
    record = logged(NgServer(accepting), caplog, "offer", **keys)
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        "offer: something of it call-id=1@a from-tag=A",
    )


def test_every_call_is_counted_and_the_kind_of_line_does_not_depend_on_the_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """So the daemon's log shows the first of a kind, and later how many there were."""
    server = NgServer(accepting)
    first, second = (logged(server, caplog, "offer", call_id=call_id) for call_id in ("1", "2"))
    assert first.getMessage() != second.getMessage()
    assert vars(first)["flood"] == vars(second)["flood"]
    other = logged(server, caplog, "answer", call_id="1")
    assert vars(other)["flood"] != vars(first)["flood"]


def test_a_fault_inside_names_the_call_it_happened_to(caplog: pytest.LogCaptureFixture) -> None:
    record = logged(NgServer(breaking), caplog, "offer", call_id="1@a", from_tag="A")
    assert record.getMessage().endswith("failed inside the relay command=offer call-id=1@a from-tag=A")


def test_ids_without_end_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    record = logged(NgServer(refusing), caplog, "offer", call_id="x" * 5000, from_tag="y" * 5000)
    assert len(record.getMessage()) < 400

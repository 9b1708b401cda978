"""``icerelay demo``: one call through a relay of its own, shown to a person."""

from __future__ import annotations

import asyncio
import signal

import click

from relay.demo.call import place_call
from relay.demo.daemon import running_relay
from relay.demo.errors import CallFailed
from relay.demo.screen import Screen

FAILED = 1
INTERRUPTED = 130

LOG_SHOWN = 10
"""Lines of the relay's log that help when something failed."""


def main(arguments: list[str]) -> int:
    """Carry out ``icerelay demo``. Returns the exit status: 0 when media flowed both ways."""
    try:
        status: int = command.main(arguments, prog_name="icerelay demo", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return status


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    default=3.0,
    show_default=True,
    help="How long media is sent.",
)
def command(seconds: float) -> int:
    """Place a call through a daemon of its own and show what happened to it.

    Nothing leaves this machine, and no rights are needed. The exit status is 0
    when at least 95 % of the packets arrived, both ways.
    """
    screen = Screen()
    try:
        return asyncio.run(_run(seconds, screen))
    except CallFailed as error:
        screen.failure(str(error))
        return FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.failure("interrupted")
        return INTERRUPTED


async def _run(seconds: float, screen: Screen) -> int:
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    async with running_relay() as relay:
        screen.started(relay.ready, relay.pid)
        try:
            flowed = await place_call(relay.ng, seconds, screen)
        except CallFailed:
            screen.log(relay.log[-LOG_SHOWN:])
            raise
        if not flowed:
            screen.log(relay.log[-LOG_SHOWN:])
    return 0 if flowed else FAILED

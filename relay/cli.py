"""The command ``icerelay``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TextIO

import click

from relay.config import ConfigError, Loaded, load, rtpengine
from relay.config.options import OPTIONS, Listen, Option, machine_addresses, parse_listen
from relay.config.settings import LISTEN_NG
from relay.ng.words import ACTIONS


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="icerelay", prog_name="icerelay")
def main() -> None:
    """Media relay for SIP, driven over rtpengine's ng protocol."""


def _ours(option: Option) -> click.Option:
    names = [f"--{option.name}"]
    names += [f"--{option.alias}"] if option.alias else []
    names += [f"-{option.short}"] if option.short else []
    return click.Option(names, multiple=True, metavar=option.metavar, help=option.help)


def _foreign(name: str) -> click.Option:
    """An option of rtpengine: taken with its value, not shown, and named in a notice at start."""
    names = [f"--{name}", *(f"-{letter}" for letter in rtpengine.SHORT.get(name, ""))]
    if name in rtpengine.FLAGS:
        return click.Option(names, count=True, hidden=True)
    return click.Option(names, multiple=True, hidden=True)


def _serve(check_config: bool, **options: tuple[str, ...] | int) -> None:
    """Run the daemon in the foreground. Takes rtpengine's option names."""
    loaded = _load(options)
    if check_config:
        for notice in loaded.notices:
            click.echo(notice)
        click.echo("the configuration is usable")
        return
    from relay import daemon

    sys.exit(daemon.serve(loaded.settings, loaded.notices))


def _load(options: Mapping[str, tuple[str, ...] | int]) -> Loaded:
    given: dict[str, tuple[str, ...]] = {}
    for key, value in options.items():
        if value:
            given[key.replace("_", "-")] = value if isinstance(value, tuple) else ("",)
    try:
        return load(given)
    except ConfigError as error:
        click.echo(f"icerelay: {error}", err=True)
        sys.exit(2)


main.add_command(
    click.Command(
        "serve",
        callback=_serve,
        help=_serve.__doc__,
        params=[
            *map(_ours, OPTIONS),
            click.Option(
                ["--config-file"], multiple=True, metavar="FILE", help="A .toml, or an rtpengine.conf."
            ),
            click.Option(["--config-section"], multiple=True, metavar="NAME", help="Section of it to use."),
            click.Option(
                ["--check-config"], is_flag=True, help="Say whether the configuration is usable, and end."
            ),
            *map(_foreign, sorted(rtpengine.NAMES)),
        ],
    )
)


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Place a call through a daemon of its own and show what happened to it."""
    from relay import demo as demonstration

    sys.exit(demonstration.main(list(arguments)))


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure what relays cost on this machine: CPU, latency, loss, memory."""
    from relay import bench as measuring

    sys.exit(measuring.main(list(arguments)))


def _listening(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say where the relay is asked."""
    section = click.option("--config-section", metavar="NAME", help="Section of it to use.")
    file = click.option("--config-file", metavar="FILE", help="The relay's, to find out where it listens.")
    address = click.option(
        "--listen-ng",
        metavar="[ADDR:]PORT",
        help="Where the relay listens, as for icerelay serve. [127.0.0.1:2223]",
    )
    return address(file(section(command)))


@main.command()
@click.argument("call_id", metavar="CALL-ID")
@_listening
def explain(call_id: str, listen_ng: str | None, config_file: str | None, config_section: str | None) -> None:
    """Say why ICE of a call that runs went as it did."""
    from relay.explain import ExplainError, ask, lines

    try:
        for line in lines(ask(_listens(listen_ng, config_file, config_section), call_id)):
            click.echo(line.encode("utf-8", "backslashreplace"))
    except ExplainError as error:
        click.echo(f"icerelay: {error}", err=True)
        sys.exit(1)


@main.command()
@click.argument("action", type=click.Choice(list(ACTIONS)), required=False)
@_listening
def memory(
    action: str | None, listen_ng: str | None, config_file: str | None, config_section: str | None
) -> None:
    """Switch the memory of a running relay off or on again, or give it another secret; without a word, say
    whether it is on.

    off: nothing is learnt or used until "on" or a restart. rotate: a new secret is written, and nothing of
    what is stored can be read any more. reload: the secret was changed by somebody else, read it again.
    """
    from relay.asking import AskError, ask
    from relay.sentences import printable

    command = {"command": "memory", "action": action} if action else {"command": "memory"}
    try:
        reply = ask(_listens(listen_ng, config_file, config_section), command)
        if reply.get("result") != "ok":
            raise AskError(f"the relay refused: {printable(str(reply.get('error-reason')))}")
    except AskError as error:
        click.echo(f"icerelay: {error}", err=True)
        sys.exit(1)
    click.echo(f"the memory is {reply['memory']}")


def _listens(listen_ng: str | None, config_file: str | None, section: str | None) -> Listen:
    """The first address that the relay listens on: the option wins over the file."""
    if listen_ng is not None:
        try:
            return parse_listen(listen_ng, machine_addresses())[0]
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--listen-ng") from error
    if config_file is None:
        return LISTEN_NG
    given = {"config_file": (config_file,), "config_section": (section,) if section else ()}
    return _load(given).settings.listen_ng[0]


@main.command()
@click.argument("file", type=click.File(encoding="utf-8", errors="surrogateescape"))
@click.option(
    "--network",
    multiple=True,
    metavar="ID",
    help="Network of the phone that wrote it; given again, of the other phone. Equal ones are one site.",
)
@click.option(
    "--policy", default="default", metavar="NAME [KEY=VALUE]...", help="A policy, as for icerelay serve."
)
def plan(file: TextIO, network: tuple[str, ...], policy: str) -> None:
    """Say what ICE=optimize would keep and drop of the SDP in FILE (- is standard input), and why."""
    from relay.config.policies import parse_policy
    from relay.plan import explain
    from sdp.session import SdpError

    try:
        (parsed,) = parse_policy(policy, ())
        for line in explain(file.read(), network, parsed):
            click.echo(line.encode("utf-8", "backslashreplace"))
    except (SdpError, ValueError) as error:
        click.echo(f"icerelay: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main(prog_name="icerelay")

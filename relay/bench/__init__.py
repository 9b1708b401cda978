"""``icerelay bench``: what relays cost, measured on this machine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import click

from relay.bench import chart, machine, table
from relay.bench.errors import BenchFailed
from relay.bench.network import loopback, veth
from relay.bench.relays import ICERELAY, ICERELAY_EBPF, ICERELAY_USERSPACE, RTPENGINE, Relay
from relay.bench.scenarios import FULL, QUICK
from relay.bench.session import perform

FAILED = 1

KNOWN = {
    "icerelay": ICERELAY,
    "icerelay-ebpf": ICERELAY_EBPF,
    "icerelay-userspace": ICERELAY_USERSPACE,
    "rtpengine": RTPENGINE,
}
OURS = {"loopback": ["icerelay"], "veth": ["icerelay-ebpf", "icerelay-userspace"]}
"""What is measured where nobody says what; the kernel forwards on no loopback interface."""


def main(arguments: list[str]) -> int:
    """Carry out ``icerelay bench``. Returns the exit status: 0 when everything was measured."""
    try:
        status: int = command.main(arguments, prog_name="icerelay bench", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return FAILED
    return status


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--daemon",
    "daemons",
    multiple=True,
    metavar="[NAME=]COMMAND",
    help="A relay to measure: a command with {ip}, {ng} (ADDRESS:PORT), {min} and {max} (media ports), which"
    " stays in the foreground. The words icerelay, icerelay-ebpf, icerelay-userspace and rtpengine stand for"
    " those that are known. Repeatable; ratios are to the last. [icerelay, or the two others with"
    " --network=veth, and rtpengine if it is installed]",
)
@click.option("--quick", is_flag=True, help="One short run of each: a minute or two, and more noise.")
@click.option(
    "--only", "scenarios", multiple=True, metavar="SCENARIO", help="Leave out the others. Repeatable."
)
@click.option("--repeats", type=click.IntRange(1, 100), help="How often everything is measured.")
@click.option(
    "--pin/--no-pin", default=True, show_default=True, help="Relays on one core, generator on another."
)
@click.option(
    "--network",
    type=click.Choice(["loopback", "veth"]),
    default="loopback",
    show_default=True,
    help="veth: relays in network namespaces of their own, which needs root.",
)
@click.option("--ipv6", is_flag=True, help="Media over IPv6, which needs --network=veth.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="A directory for bench.json and bench.html.",
)
def command(
    daemons: tuple[str, ...],
    quick: bool,
    scenarios: tuple[str, ...],
    repeats: int | None,
    pin: bool,
    network: str,
    ipv6: bool,
    output: Path | None,
) -> int:
    """Measure what relays cost: CPU, latency, loss, memory; one after the other, several times over.

    Nothing leaves this machine. Any relay that speaks rtpengine's ng protocol will do. Ten minutes,
    in which the machine should have nothing else to do.
    """
    if ipv6 and network != "veth":
        raise click.UsageError("--ipv6 needs --network=veth: the loopback interface has one IPv6 address")
    plan = QUICK if quick else FULL
    plan = replace(plan, repeats=repeats or plan.repeats)
    try:
        chosen, relays = plan.only(scenarios), wanted(daemons, network)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    cores = machine.cores() if pin else (None, None)
    try:
        with veth(len(relays), ipv6) if network == "veth" else nullcontext(loopback(len(relays))) as where:
            results = perform(plan, chosen, relays, where, cores, lambda text: click.echo(text, err=True))
    except BenchFailed as error:
        click.echo(f"icerelay bench: {error}", err=True)
        return FAILED
    for line in table.lines(results):
        click.echo(line)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "bench.json").write_text(json.dumps(table.as_json(results), indent=1) + "\n")
        (output / "bench.html").write_text(chart.page(results))
        click.echo(f"\n{output / 'bench.html'} shows it, {output / 'bench.json'} has every figure")
    failed = any(outcome.error for outcomes in results.outcomes.values() for outcome in outcomes)
    return FAILED if failed else 0


def wanted(daemons: Sequence[str], network: str = "loopback") -> list[Relay]:
    """The relays that the options name, or else those that belong to the network. Raises ``ValueError``."""
    if not daemons:
        daemons = [*OURS[network], *(["rtpengine"] if shutil.which("rtpengine") else [])]
    relays: list[Relay] = []
    for text in daemons:
        named = re.fullmatch(r"([\w.-]+)=(.+)", text, re.DOTALL)
        line = named[2] if named else KNOWN.get(text, text)
        name = named[1] if named else text if text in KNOWN else Path(shlex.split(line)[0]).name
        if any(relay.name == name for relay in relays):
            raise ValueError(f"two relays are called {name}; give one another name: --daemon '{name}-2=...'")
        relays.append(Relay(name, line))
    return relays

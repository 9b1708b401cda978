"""``python -m bench.ice_lab``: the command line of the ICE lab."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench.ice_lab.call import Outcome
from bench.ice_lab.cases import FULL, QUICK, everything
from bench.ice_lab.chart import page
from bench.ice_lab.figures import compare, rows
from bench.ice_lab.goals import connectivity, failures, judge, shares
from bench.ice_lab.lab import LIMIT, Plan, measure
from bench.ice_lab.markdown import document
from bench.ice_lab.namespaces import LabError, remove_leftovers, why_not
from bench.ice_lab.report import COMPARED, machine, media_table, progress, summary, table, verdict


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.ice_lab",
        description="How long two phones take until they hear each other, with which relay between them.",
    )
    parser.add_argument("--quick", action="store_true", help="nine cases, 3 calls each: about two minutes")
    parser.add_argument("--everything", action="store_true", help="also what takes long and no goal needs")
    parser.add_argument("-n", type=int, help="calls of each kind (default 20, quick 3)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="cases with TEXT in 'network: phone, ...'; may be repeated",
    )
    parser.add_argument(
        "--treatment",
        action="append",
        default=[],
        metavar="NAME",
        help="only this one, such as 'icerelay force'; may be repeated",
    )
    parser.add_argument(
        "--daemon",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="another relay to measure; {address} and {ng} in COMMAND are its media address and ng socket",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=LIMIT,
        help="seconds a call has until media flows both ways (default %(default)g)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("ice-lab"),
        help="directory for ice-lab.json, .md and .html (default %(default)s)",
    )
    return parser.parse_args(given)  # fmt: skip


def planned(given: argparse.Namespace) -> Plan:
    """Raises LabError for words that fit nothing."""
    offered = QUICK if given.quick else everything() if given.everything else FULL
    courses = tuple(
        course for course in offered if not given.only or any(text in str(course.case) for text in given.only)
    )
    daemons = dict(daemon.split("=", 1) for daemon in given.daemon if "=" in daemon)
    if len(daemons) != len(given.daemon):
        raise LabError("--daemon is NAME=COMMAND")
    plan = Plan.of(courses, given.n or (3 if given.quick else 20), daemons)
    chosen = tuple(one for one in plan.chosen if not given.treatment or one.name in given.treatment)
    if not courses or not chosen:
        names = ", ".join(one.name for one in plan.chosen)
        raise LabError(f"nothing is left to measure; the treatments are: {names}")
    return replace(plan, chosen=chosen, limit=given.limit)


def write(directory: Path, plan: Plan, outcomes: list[Outcome], state: dict[str, object]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    names = [treatment.name for treatment in plan.chosen]
    found = {
        "machine": state,
        "limit": plan.limit,
        "goals": [asdict(verdict) | {"verdict": verdict.words} for verdict in judge(outcomes)],
        "shares": [asdict(one) for one in shares(outcomes)],
        "connectivity": [asdict(one) for one in connectivity(outcomes)],
        "outcomes": [outcome.as_json() for outcome in outcomes],
    }
    (directory / "ice-lab.json").write_text(json.dumps(found, indent=1))
    (directory / "ice-lab.md").write_text(document(outcomes, names, state))
    (directory / "ice-lab.html").write_text(page(outcomes, names, state, plan.limit))


def main() -> int:
    given = arguments()
    if missing := why_not():
        print(missing, file=sys.stderr)
        return 1
    try:
        plan = planned(given)
        remove_leftovers()
        return asyncio.run(_measured(plan, given.output))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("ended; nothing was written", file=sys.stderr)
        return 130


async def _measured(plan: Plan, output: Path) -> int:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    before, begun, count = machine(), time.monotonic(), 0

    def tell(outcome: Outcome) -> None:
        nonlocal count
        count += 1
        print(f"\r\033[K{progress(outcome, count, plan.calls)[:110]}", end="", file=sys.stderr, flush=True)

    print(f"{plan.calls} calls, about {plan.minutes:.0f} minutes", file=sys.stderr)
    outcomes = await measure(plan, tell)
    print("\r\033[K", end="", file=sys.stderr)
    state = {
        **before,
        "load afterwards": machine()["load"],
        "minutes": round((time.monotonic() - begun) / 60, 1),
    }
    print(", ".join(f"{name}: {value}" for name, value in state.items()))
    names = [treatment.name for treatment in plan.chosen]
    found = rows(outcomes, names)
    for line in (*table(found), *media_table(found)):
        print(line)
    for ours, theirs in COMPARED:
        if both := compare(outcomes, ours, theirs):
            for line in verdict(both, ours, theirs):
                print(line)
    for line in summary(outcomes):
        print(line)
    write(output, plan, outcomes, state)
    print(f"\nEvery call: {output / 'ice-lab.json'}. To look at: {output / 'ice-lab.html'}")
    missed = failures(outcomes)
    for line in missed:
        print(f"Not good enough: {line}", file=sys.stderr)
    return 2 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

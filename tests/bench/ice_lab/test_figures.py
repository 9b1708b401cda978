"""Statistics of the lab: what failed is never left out."""

from bench.ice_lab.call import Outcome
from bench.ice_lab.cases import Case
from bench.ice_lab.chart import page
from bench.ice_lab.figures import compare, rows
from bench.ice_lab.report import table, verdict

CASE = Case("open", "aioice")


def took(treatment: str, repetition: int, seconds: float) -> Outcome:
    return Outcome(
        CASE,
        treatment,
        repetition,
        None,
        seconds,
        seconds,
        seconds + 0.3,
        seconds,
        caller_checks=4,
        callee_checks=2,
    )


def failed(treatment: str, repetition: int) -> Outcome:
    return Outcome(CASE, treatment, repetition, why="no media at the callee", caller_checks=90)


def test_a_call_that_failed_counts_in_n_and_not_in_the_times() -> None:
    (row,) = rows([took("ours", 0, 0.2), took("ours", 1, 0.4), failed("ours", 2)], ["ours"])
    assert (row.n, row.ok, row.failures) == (3, 2, {"no media at the callee": 1})
    assert row.applied is not None
    assert (row.applied.least, round(row.applied.median, 3), row.applied.most) == (0.2, 0.3, 0.4)
    assert row.caller_checks is not None
    assert row.caller_checks.most == 4


def test_a_treatment_that_never_connects_has_its_line() -> None:
    outcomes = [failed("ours", 0), took("theirs", 0, 0.1)]
    lines = "\n".join(table(rows(outcomes, ["ours", "theirs"])))
    assert "0/1" in lines
    assert "1 x no media at the callee" in lines
    assert "0/1" in page(outcomes, ["ours", "theirs"], {"cores": 2}, 10.0)


def test_who_is_slower_in_every_call_is_called_slower() -> None:
    outcomes = [took("ours", turn, 0.30 + turn / 100) for turn in range(20)]
    outcomes += [took("theirs", turn, 0.25 + turn / 100) for turn in range(20)]
    (found,) = compare(outcomes, "ours", "theirs")
    assert found.words == "slower by 50 ms"
    (other,) = compare(outcomes, "theirs", "ours")
    assert other.words == "faster by 50 ms"


def test_noise_alone_is_no_difference() -> None:
    outcomes = [took("ours", turn, 0.3 + (turn % 5) / 50) for turn in range(20)]
    outcomes += [took("theirs", turn, 0.3 + (turn % 4) / 40) for turn in range(20)]
    (found,) = compare(outcomes, "ours", "theirs")
    assert found.words == "no difference seen"


def test_a_case_that_connects_only_there_is_said() -> None:
    outcomes = [failed("ours", 0), took("theirs", 0, 0.1), took("ours", 1, 0.1), failed("theirs", 1)]
    (found,) = compare(outcomes, "ours", "theirs")
    assert (found.pairs, found.only_theirs, found.only_ours) == (0, 1, 1)
    (line,) = (line for line in verdict([found], "ours", "theirs") if "aioice" in line)
    assert "1 connected only there" in line

"""The lab's smallest case: one call through icerelay, with namespaces, wire and phones of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.ice_lab.__main__ import main
from bench.ice_lab.namespaces import KEPT, PREFIX, remove_leftovers, why_not

ROOT = Path(__file__).parents[3]
SMALLEST = ("-n", "1", "--only", "open: aioice, told", "--treatment", "icerelay force")


def test_one_call_is_measured_and_nothing_of_the_lab_is_left(tmp_path: Path) -> None:
    """Where namespaces cannot be made, the lab has to say why not."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.ice_lab", *SMALLEST, "--output", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    missing = why_not()
    if missing is not None:
        assert (done.returncode, done.stderr.strip()) == (1, missing)
        return
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads((tmp_path / "ice-lab.json").read_text())["outcomes"]
    assert outcome["why"] is None, outcome
    # The answer travels for 70 ms, a check and its answer for 70, the first packet for 70 at least.
    assert 0.07 < outcome["applied"] < outcome["offered"] < 10.0
    assert outcome["caller_checks"] >= 1
    assert "1/1" in done.stdout
    assert "1/1" in (tmp_path / "ice-lab.html").read_text()
    assert remove_leftovers() == []


def test_without_root_the_lab_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["ice_lab", *SMALLEST])
    assert main() == 1
    assert "has to be root" in capsys.readouterr().err


def test_namespaces_of_a_lab_that_was_killed_are_removed_by_the_next() -> None:
    if why_not() is not None:
        return
    killed = subprocess.Popen(["true"])
    killed.wait()
    name = f"{PREFIX}-{killed.pid}-caller"
    subprocess.run(["ip", "netns", "add", name], check=True)
    assert remove_leftovers() == [name]
    assert not (KEPT / name).exists()

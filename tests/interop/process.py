"""A foreign program run for a test: started in the foreground, waited for, ended by its own pid."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

KILL_AFTER = 5.0
"""Seconds a program gets between SIGTERM and SIGKILL; Kamailio needs up to two."""


class PeerMissing(RuntimeError):
    """A program the tests need is not installed. This fails the tests; they are never skipped."""


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 5.0) -> None:
    """Poll until `condition` holds; fails after `timeout` seconds, naming `what` did not happen."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(0.01)


def find_program(name: str) -> str:
    """Path of an installed program; system directories count even if they are not in PATH."""
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])
    path = shutil.which(name, path=search)
    if path is None:
        raise PeerMissing(f"{name} is not installed; the interop tests cannot do without it")
    return path


class Process:
    """One running program with everything it wrote to stdout and stderr."""

    def __init__(self, command: Sequence[str], directory: Path | None = None) -> None:
        self.command = list(command)
        self._popen = subprocess.Popen(
            self.command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        return "".join(self._lines)

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    def wait_for_output(self, text: str, timeout: float = 10.0) -> None:
        """Returns when a line contains `text`; fails at once if the program ends before."""

        def shown() -> bool:
            if any(text in line for line in self._lines):
                return True
            if self.returncode is not None:
                raise AssertionError(f"{self.command[0]} ended ({self.returncode}):\n{self.output}")
            return False

        wait_until(shown, f"{text!r} from {self.command[0]}; it wrote:\n{self.output}", timeout)

    def wait(self, timeout: float) -> int:
        """Exit code of a program that ends by itself."""
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(
                f"{self.command[0]} runs for more than {timeout:g} s:\n{self.output}"
            ) from None
        self._reader.join(timeout=1.0)
        return code

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def stop(self) -> None:
        """End the program by its pid. Harmless if it has ended already."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(KILL_AFTER)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self._reader.join(timeout=1.0)

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._lines.append(line.decode(errors="replace"))

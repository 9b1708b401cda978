"""What a process and the machine under it have used, read from /proc."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Time:
    """Seconds that threads ran, and that they could have run and waited for a CPU."""

    ran: float
    waited: float

    def __sub__(self, other: Time) -> Time:
        return Time(self.ran - other.ran, self.waited - other.waited)


def family(pid: int) -> list[int]:
    """A process and its descendants: a daemon may have been started by a script."""
    members = [pid]
    for member in members:
        for task in _tasks(member):
            with contextlib.suppress(OSError):
                members += map(int, (task / "children").read_text().split())
    return members


def processor_time(pid: int) -> Time:
    """Of all threads of a process and its descendants, to the nanosecond."""
    ran = waited = 0
    for member in family(pid):
        for task in _tasks(member):
            with contextlib.suppress(OSError):
                on_cpu, in_queue, _ = map(int, (task / "schedstat").read_text().split())
                ran, waited = ran + on_cpu, waited + in_queue
    return Time(ran / 1e9, waited / 1e9)


def deferred() -> float:
    """Seconds that the kernel's threads for deferred work ran: packets that nobody's time was spent on.

    0 where they are hidden, as in a container.
    """
    ran = 0
    for name in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if name.read_text().startswith("ksoftirqd/"):
                ran += int((name.parent / "schedstat").read_text().split()[0])
    return ran / 1e9


def memory(pid: int) -> int:
    """Resident octets."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(page * int(Path(f"/proc/{member}/statm").read_text().split()[1]) for member in family(pid))


def descriptors(pid: int) -> int:
    """Open file descriptors."""
    return sum(len(os.listdir(f"/proc/{member}/fd")) for member in family(pid))


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").glob("*"))


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Processes started meanwhile run on one core; None: wherever they like."""
    mine = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def cores() -> tuple[int | None, int | None]:
    """A core for the relay and another for the generator; None twice where there is only one."""
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[-1]) if len(available) > 1 else (None, None)


@dataclass(frozen=True, slots=True)
class Ticks:
    """The machine's CPU time since it started, in ticks."""

    total: int
    idle: int
    steal: int

    @classmethod
    def now(cls) -> Ticks:
        """From the first line of /proc/stat."""
        fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        return cls(sum(fields[:8]), fields[3] + fields[4], fields[7])

    def since(self, before: Ticks) -> dict[str, float]:
        """Percent of the machine's time that was idle, and that the hypervisor gave to others."""
        total = max(1, self.total - before.total)
        return {
            "idle_percent": 100 * (self.idle - before.idle) / total,
            "steal_percent": 100 * (self.steal - before.steal) / total,
        }


def describe() -> dict[str, str | int | float]:
    """What somebody who compares two results has to know."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return {
        "kernel": platform.release(),
        "cpu": model,
        "cores": os.cpu_count() or 1,
        "governor": governor.read_text().strip() if governor.exists() else "none",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }

"""What is measured, and for how long. A title is short before its colon, for the chart."""

from __future__ import annotations

from dataclasses import dataclass

from relay.bench.calls import ICE, PLAIN, SRTP, VIDEO, WEBRTC, Kind


@dataclass(frozen=True, slots=True)
class Media:
    """Every stream of so many calls sends ``burst`` packets of ``size`` octets per ``interval`` seconds.

    Of kind ``ICE``, both phones of every call send a check per interval.
    """

    name: str
    title: str
    kind: Kind
    calls: int
    interval: float = 0.020
    size: int = 172
    burst: int = 1

    @property
    def rate(self) -> float:
        """Packets per second, of all streams."""
        return 2 * self.calls * self.burst / self.interval

    @property
    def has_direct_run(self) -> bool:
        """Whether the same packets can be sent past the relay: a relay opens SRTP, and answers checks."""
        return self.kind in (PLAIN, VIDEO)


@dataclass(frozen=True, slots=True)
class Control:
    """So many calls one after the other: offer, answer, delete."""

    name: str
    title: str
    kind: Kind
    calls: int


@dataclass(frozen=True, slots=True)
class Start:
    """From nothing to the first pong."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Memory:
    """So many calls at a time, in a relay that has just been started."""

    name: str
    title: str
    kind: Kind
    calls: int


@dataclass(frozen=True, slots=True)
class Saturation:
    """The highest rate, over the streams of so many calls, at which next to nothing is lost."""

    name: str
    title: str
    calls: int
    probes: int


Scenario = Start | Media | Control | Memory | Saturation


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run. ``seconds`` of media are measured after ``warm_up`` seconds of the same.

    Where other processes disturb it, it is measured again, up to ``attempts`` times.
    """

    scenarios: tuple[Scenario, ...]
    repeats: int
    seconds: float
    warm_up: float
    attempts: int

    def only(self, names: tuple[str, ...]) -> tuple[Scenario, ...]:
        """The scenarios with these names; all without any. Raises ``ValueError``."""
        known = {scenario.name for scenario in self.scenarios}
        if unknown := set(names) - known:
            raise ValueError(f"no such scenario: {unknown.pop()}; there are {', '.join(sorted(known))}")
        return tuple(one for one in self.scenarios if not names or one.name in names)


_MEDIA = (
    Media("calls-10", "10 calls, 1,000 packets/s", PLAIN, 10),
    Media("calls-100", "100 calls, 10,000 packets/s", PLAIN, 100),
    Media("calls-1000", "1,000 calls, 100,000 packets/s", PLAIN, 1000),
    Media("video", "video: 50 calls, bursts of 10 x 1,200 octets", VIDEO, 50, 0.040, 1200, 10),
    Media("srtp", "SRTP to RTP: 100 calls, 10,000 packets/s", SRTP, 100),
    Media("stun", "ICE checks: 500 legs, 10,000 checks/s", ICE, 250, 0.050),
)  # fmt: skip


def _plan(
    memory: tuple[int, int],
    control: tuple[int, int],
    steps: int,
    *,
    repeats: int,
    seconds: float,
    warm_up: float,
    attempts: int,
) -> Plan:
    """``memory`` and ``control``: calls with plain SDP, and with WebRTC SDP."""
    scenarios = (
        Start("start", "start: to the first pong"),
        Memory("memory", "plain call: memory and descriptors", PLAIN, memory[0]),
        Memory("memory-webrtc", "WebRTC call: memory and descriptors", WEBRTC, memory[1]),
        Control("control", "plain SDP: offer, answer, delete", PLAIN, control[0]),
        Control("control-webrtc", "WebRTC SDP, 12 candidates: offer, answer, delete", WEBRTC, control[1]),
        *_MEDIA,
        Saturation("saturation", "saturation: highest rate on one core at < 0.1 % loss", 250, steps),
    )
    return Plan(scenarios, repeats, seconds, warm_up, attempts)


FULL = _plan((300, 150), (500, 200), 9, repeats=3, seconds=4.0, warm_up=1.0, attempts=2)
QUICK = _plan((100, 50), (150, 60), 5, repeats=1, seconds=1.5, warm_up=0.5, attempts=1)

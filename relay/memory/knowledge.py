"""What is known of one network, and how a leg that ended adds to it.

Per way (arm) there are two weights: ``alpha`` for what worked, ``beta`` for what
failed. Both halve in a week, for networks change. What clients say is kept
apart from what we saw: see ``relay.memory.decision`` for how little it may do.

Times are unix seconds. A clock that goes back makes nothing older; time stamps
that turn out to lie in the future are pulled back to now.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from relay.memory.arms import DIRECT, UDP, Arm
from relay.memory.record import Record, Said

WEEK = 7 * 86400.0
HALF_LIFE = WEEK
"""Seconds."""
HALF_LIFE_CELLULAR = 86400.0
"""Of an address prefix of a mobile operator: whoever has the address tomorrow is somewhere else."""
RUN = 4
"""So many equal outcomes in a row that contradict all before mean that the network changed."""
LEFT = 2.0
"""The weight that is left then of what was believed before: a long good past must not hide a dead network."""
HEAVIEST = 1000.0
"""Weight of one side; more would change nothing that is decided."""
SAMPLES = 15
"""Usable times remembered of each way, and round trips of each network: the median of the last ones."""
KNOWN = 3
"""Legs that make something known."""
OPEN = 86400.0
"""Seconds after a wrong guess in which nothing is left out."""
MOST_SAID = 1.0
"""Weight that all feedback together may have on a way of ours."""
MOST_SAID_DIRECT = 20.0
"""The same for ways past us, which only clients see."""
WIDENED = 2.0
"""Weight given to a way that was left out wrongly."""
STEADY = 30
"""Legs of one site in a row that came straight to us before an app there is told to do without TURN.

Whoever shares a site: of phones with a share p that needs TURN, at most p * (1 - p) ** 30 are told the
wrong thing by a call, which is below 1.3 % for any p.
"""
SITES = 8
"""Of one network of which that is counted, the latest ones."""


class Way(msgspec.Struct, array_like=True):
    """One arm in one network."""

    alpha: float = 0.0
    beta: float = 0.0
    rows: int = 0
    """Legs that we saw try it, ever."""
    at: float = 0.0
    """When the weights were last brought up to date."""
    run: int = 0
    """Equal outcomes in a row: above 0 successes, below 0 failures."""
    times: list[tuple[float, int]] = []
    """When, and after how many milliseconds, it was usable; the latest last."""
    said_ok: float = 0.0
    """Weight of feedback that it worked."""
    said_bad: float = 0.0


class Straight(msgspec.Struct, array_like=True, frozen=True):
    """Legs in a row, of one site, that came straight to us: from there itself and not by a TURN server."""

    run: int
    at: float
    """When the last one ended."""


class Network(msgspec.Struct, array_like=True):
    """Everything that is known of one network. Treat as a value: ``learn`` makes a new one."""

    ways: dict[Arm, Way] = {}
    rows: int = 0
    """Legs seen in it that count."""
    at: float = 0.0
    """When it was last learnt from."""
    opened_at: float = 0.0
    """When leaving out was last found to be wrong."""
    explored_at: float = 0.0
    """When a way that would have been left out was last given."""
    named: bool = False
    cellular: bool | None = None
    """What clients said of it; None: nothing."""
    round_trips: list[tuple[float, int]] = []
    """When, and how many milliseconds the round trip from us took on average; the latest last."""
    nat: Way = msgspec.field(default_factory=Way)
    """``alpha`` and ``beta``: legs whose NAT mapped their socket anew for us, and legs whose NAT did not."""
    straight: dict[bytes, Straight] = {}
    """By hash of the site that a phone signalled from. One leg that did not come straight ends a row."""

    def is_open(self, now: float) -> bool:
        """Nothing is to be left out, for that was wrong not long ago."""
        return self.opened_at > 0.0 and now < self.opened_at + OPEN

    @property
    def half_life(self) -> float:
        """Seconds in which a weight halves."""
        return HALF_LIFE_CELLULAR if self.cellular and not self.named else HALF_LIFE


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a client said of one leg (``ice-feedback``)."""

    ok: bool
    arm: Arm | None = None
    cellular: bool | None = None
    moved: bool = False
    """The phone went from Wi-Fi to a mobile network in mid-call, or the other way."""
    said: Said | None = None


def faded(way: Way, now: float, half_life: float) -> Way:
    """The weights as they are at ``now``."""
    factor = 0.5 ** (max(0.0, now - way.at) / half_life)
    return msgspec.structs.replace(
        way,
        alpha=way.alpha * factor,
        beta=way.beta * factor,
        said_ok=way.said_ok * factor,
        said_bad=way.said_bad * factor,
        times=[(min(at, now), ms) for at, ms in way.times],
        at=now,
    )


def learn(network: Network | None, record: Record, now: float, site: bytes = b"") -> Network:
    """What is known after ``record`` of a phone that signalled from ``site``."""
    if not record.counts:
        return network or Network(at=now, named=record.named)
    known = _renewed(network, now, record.named)
    known.rows = min(known.rows + 1, 2**31)
    for arm in record.worked:
        known.ways[arm] = _timed(_worked(_way(known, arm, now)), record.usable[arm], now)
    for arm in record.failed:
        known.ways[arm] = _failed(_way(known, arm, now))
    if record.straight is not None:
        known.straight = _straightened(known.straight, record.straight, site, now)
    if record.explored:
        known.explored_at = now
    if record.round_trip is not None:
        known.round_trips = [*known.round_trips[-SAMPLES + 1 :], (now, record.round_trip)]
    if record.maps_anew is not None:
        nat = faded(known.nat, now, known.half_life)
        known.nat = _worked(nat) if record.maps_anew else _failed(nat)
    return widen(known, record.surprising, now) if record.surprising else known


def widen(network: Network, dropped: tuple[Arm, ...], now: float) -> Network:
    """Leaving out ``dropped``, or putting it last, was wrong: nothing is left out for a day."""
    known = _renewed(network, now, network.named)
    known.opened_at = now
    for arm in dropped:
        way = _way(known, arm, now)
        known.ways[arm] = msgspec.structs.replace(way, alpha=way.alpha + WIDENED, beta=min(way.beta, LEFT))
    return known


def told(network: Network | None, report: Report, now: float) -> Network:
    """What is known after a client spoke: at most 1 more on one side, and bounded in sum."""
    known = _renewed(network, now, network.named if network is not None else False)
    if report.cellular is not None:
        known.cellular = report.cellular
    if report.arm is not None:
        most = MOST_SAID_DIRECT if report.arm in DIRECT else MOST_SAID
        way = _way(known, report.arm, now)
        if report.ok:
            way = msgspec.structs.replace(way, said_ok=min(way.said_ok + 1.0, most))
            if report.arm in DIRECT and report.said is not None and report.said.ms is not None:
                way = _timed(way, report.said.ms, now)  # of our own ways we know better
        else:
            way = msgspec.structs.replace(way, said_bad=min(way.said_bad + 1.0, most))
        known.ways[report.arm] = way
        if report.ok if report.arm is Arm.TURN else report.arm in UDP and not report.ok:
            known.straight = {}  # somebody here needs TURN, at whatever site
    return known


def comes_straight(network: Network, site: bytes, now: float) -> bool:
    """Phones that signal from ``site`` surely need no TURN server."""
    row = network.straight.get(site)
    return row is not None and row.run >= STEADY and now < row.at + network.half_life


def median_ms(way: Way, now: float, half_life: float) -> float | None:
    """Median of the usable times, recent ones weighing more; None: there are none."""
    return _median(way.times, now, half_life)


def relay_round_trip(network: Network, now: float) -> float | None:
    """Seconds from us to a phone there and back: a median, recent ones weighing more; None: not known."""
    if len(network.round_trips) < KNOWN:
        return None
    found = _median(network.round_trips, now, network.half_life)
    return None if found is None else found / 1000


def maps_anew(network: Network) -> bool:
    """Its NAT is known to map each destination anew."""
    return network.nat.rows >= KNOWN and network.nat.alpha > network.nat.beta


def _straightened(
    before: Mapping[bytes, Straight], straight: bool, site: bytes, now: float
) -> dict[bytes, Straight]:
    """A leg whose site is not known may be of any of them, and cannot be known to come straight."""
    if not site:
        return {}
    after = {one: row for one, row in before.items() if one != site}
    if straight:
        run = before[site].run + 1 if site in before else 1
        after[site] = Straight(min(run, STEADY), now)
        while len(after) > SITES:
            del after[next(iter(after))]
    return after


def _median(times: list[tuple[float, int]], now: float, half_life: float) -> float | None:
    weighed = sorted((ms, 0.5 ** (max(0.0, now - at) / half_life)) for at, ms in times)
    half = sum(weight for _, weight in weighed) / 2
    for ms, weight in weighed:
        half -= weight
        if half <= 0.0:
            return float(ms)
    return None


def encode(network: Network) -> bytes:
    """As it is stored."""
    return msgspec.msgpack.encode(network)


def decode(data: bytes) -> Network:
    """Raises ``msgspec.DecodeError`` (a ``ValueError``) where something else was stored."""
    return msgspec.msgpack.decode(data, type=Network)


def _renewed(network: Network | None, now: float, named: bool) -> Network:
    """A copy that may be changed, with no time stamp in the future."""
    if network is None:
        return Network(at=now, named=named)
    return msgspec.structs.replace(
        network,
        ways=dict(network.ways),
        at=now,
        opened_at=min(network.opened_at, now),
        explored_at=min(network.explored_at, now),
        round_trips=[(min(at, now), ms) for at, ms in network.round_trips],
        straight={site: Straight(row.run, min(row.at, now)) for site, row in network.straight.items()},
        named=named or network.named,
    )


def _way(network: Network, arm: Arm, now: float) -> Way:
    way: Mapping[Arm, Way] = network.ways
    return faded(way.get(arm, Way(at=now)), now, network.half_life)


def _worked(way: Way) -> Way:
    run = max(way.run, 0) + 1
    return msgspec.structs.replace(
        way,
        alpha=min(way.alpha + 1.0, HEAVIEST),
        beta=min(way.beta, LEFT) if run == RUN else way.beta,
        rows=way.rows + 1,
        run=run,
    )


def _timed(way: Way, ms: int, now: float) -> Way:
    return msgspec.structs.replace(way, times=[*way.times[-SAMPLES + 1 :], (now, ms)])


def _failed(way: Way) -> Way:
    run = min(way.run, 0) - 1
    return msgspec.structs.replace(
        way,
        alpha=min(way.alpha, LEFT) if run == -RUN else way.alpha,
        beta=min(way.beta + 1.0, HEAVIEST),
        rows=way.rows + 1,
        run=run,
    )

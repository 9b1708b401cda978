"""What a scrape of the metrics sees: counted where it happens, read here."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from relay.calls import keying
from relay.calls.state import Media
from relay.control.ng import BUCKETS, NgServer
from relay.daemon.engine import NANOSECONDS, Engine
from relay.daemon.remembering import BUCKETS as USABLE_BOUNDS
from relay.daemon.remembering import Remembering
from relay.forward.offload.tiered import TieredPlane
from relay.metrics.collector import PortUse, Snapshot
from relay.metrics.memory import MemoryFacts

QUANTILES = (0.5, 0.95, 1.0)
HEARD = 5.0
"""Seconds since its last packet after which a stream is not heard any more."""


def snapshot(engine: Engine, ng: NgServer) -> Snapshot:
    """The state of the relay at this moment."""
    calls = engine.registry.calls.values()
    legs = [leg for call in calls for leg in call.legs.values()]
    medias = [media for leg in legs for media in leg.medias if media.streams]
    answered = sum(call.established for call in calls)
    pool, tiered = engine.machine.pool, engine.tiered
    handshakes = engine.registry.handshakes
    totals, share = tiered.totals_and_share() if tiered is not None else (engine.plane.totals(), {})
    return Snapshot(
        uptime=time.monotonic() - engine.started,
        workers=engine.plane.workers,
        workers_stuck=engine.watch.stuck,
        calls={"offered": len(calls) - answered, "answered": answered},
        legs=len(legs),
        medias=len(medias),
        streams=sum(len(media.streams) for media in medias),
        sessions_total=engine.registry.created,
        closed=engine.registry.closed,
        totals=totals,
        kernel_totals=share,
        kernel_streams=_kernel_streams(tiered, medias) if tiered is not None else 0,
        jitter=_jitter(engine, medias),
        declined={why.value: count for why, count in tiered.declined().items()} if tiered is not None else {},
        by_shared=engine.userspace.by_shared(),
        ports=[
            PortUse(at.name, at.address, pool.used(at.address), pool.free(at.address))
            for at in engine.machine.addresses
        ],
        ng_requests=ng.spent,
        ng_bounds=BUCKETS,
        ng_errors=ng.errors,
        ng_repeats=ng.repeats,
        ng_unanswerable=ng.unanswerable,
        stun_refused=engine.registry.refused_stun,
        trickle_refused=engine.registry.trickle.refused,
        ice_flaws=engine.registry.ice_flaws,
        dtls_open=sum(keying.open_handshakes(call) for call in calls),
        dtls_done=handshakes.done,
        dtls_failed=handshakes.failed,
        dtls_dropped=handshakes.dropped,
        memory=_memory(engine.memory),
    )


def _memory(memory: Remembering) -> MemoryFacts:
    counts, keeper = memory.counts, memory.keeper
    return MemoryFacts(
        usable={which: (one.buckets, one.seconds) for which, one in counts.usable.items()},
        bounds=USABLE_BOUNDS,
        candidates=counts.candidates,
        checks=counts.checks,
        moves=counts.moves,
        unreached=counts.unreached,
        widened=counts.widened,
        rows=keeper.rows if keeper is not None else {},
        consent_lost=counts.consent_lost,
        records=counts.records,
        advice=counts.advice,
        advice_refused=counts.advice_refused,
        feedback=counts.feedback,
        at_hand=keeper.networks if keeper is not None else 0,
        waiting=keeper.waiting if keeper is not None else 0,
        lost=keeper.lost if keeper is not None else 0,
        errors=dict(keeper.errors) if keeper is not None else {},
        working=keeper is not None and not keeper.broken,
    )


def _jitter(engine: Engine, medias: Iterable[Media]) -> dict[str, float]:
    """Quantiles over the streams that are heard; none where there are none."""
    rules = [path.rule for media in medias for stream in media.streams for path in stream.paths]
    rows = engine.plane.counters()[rules]
    latest = (time.monotonic() - HEARD) * NANOSECONDS
    rows = rows[(rows["clock"] > 0) & (rows["last_packet"] > latest)]
    if not len(rows):
        return {}
    seconds = rows["jitter"] / 16 / rows["clock"]
    return {str(quantile): float(np.quantile(seconds, quantile)) for quantile in QUANTILES}


def _kernel_streams(tiered: TieredPlane, medias: Iterable[Media]) -> int:
    """Streams whose RTP the kernel forwards."""
    streams = (stream for media in medias for stream in media.streams)
    return sum(any(tiered.carries(path.rule) for path in stream.paths) for stream in streams)

"""The generator's own process: obeys orders from standard input, and does nothing else."""

from __future__ import annotations

import contextlib
import pickle
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

from relay.bench._load import Load
from relay.bench.figures import Traffic
from relay.bench.machine import deferred
from relay.bench.streams import CALLEE, CALLER, Job, Keys, Stream
from relay.forward.srtp_library import Context, load
from relay.srtp.profiles import MasterKey, profile_named

BUFFER = 16 << 20
"""Octets that may wait in a socket: a tenth of a second at 100,000 packets/s, should the generator stall."""

SO_TIMESTAMPNS = 35
"""Not among Python's names; the same on every Linux but for four old architectures."""


def main(hosts: Sequence[str], orders: BinaryIO, replies: BinaryIO) -> None:
    """Obey until the parent closes the pipe. All callers are at one address, all callees at another."""
    phones = [_phone(host) for host in hosts]
    _reply(replies, tuple(phone.getsockname()[:2] for phone in phones))
    load: Load | None = None
    contexts: list[Context] = []
    while True:
        try:
            order = pickle.load(orders)
        except EOFError:
            return
        if isinstance(order, Job):
            streams, opened = with_contexts(order)
            load = _load(phones, order, streams)
            for context in contexts:
                context.close()
            contexts = opened
            _reply(replies, None)
        else:
            assert load is not None
            began = deferred() + time.process_time()
            counted = load.run(order.seconds, order.interval)
            _reply(replies, Traffic(**counted, processor=time.process_time() + deferred() - began))


def _reply(replies: BinaryIO, what: object) -> None:
    pickle.dump(what, replies)
    replies.flush()


def _phone(host: str) -> socket.socket:
    phone = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    for option in (33, socket.SO_RCVBUF):  # SO_RCVBUFFORCE, which is for root
        with contextlib.suppress(PermissionError):
            phone.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            break
    phone.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    phone.bind((host, 0))
    return phone


def _load(phones: Sequence[socket.socket], job: Job, streams: Sequence[Stream]) -> Load:
    return Load(
        phones,
        streams,
        size=job.size,
        burst=job.burst,
        payload_type=job.payload_type,
        direct=job.direct,
        srtp=load() if job.keys else None,
    )


def with_contexts(job: Job) -> tuple[list[Stream], list[Context]]:
    """The job's streams in the order in which they send, and the contexts that they name by address.

    A caller sends half an interval apart from its callee, so that a packet does
    not meet the one that comes the other way.
    """
    streams, contexts = list(job.streams), []
    for index, keys in enumerate(job.keys):
        sends, receives = _context(keys, keys.caller, False), _context(keys, keys.relay, True)
        contexts += [sends, receives]
        streams[2 * index] = replace(streams[2 * index], protect=sends.address)
        streams[2 * index + 1] = replace(streams[2 * index + 1], unprotect=receives.address)
    callers = [stream for stream in streams if stream.side == CALLER]
    callees = [stream for stream in streams if stream.side == CALLEE]
    half = len(callees) // 2
    pairs = zip(callers, callees[half:] + callees[:half], strict=True)
    return [stream for pair in pairs for stream in pair], contexts


def _context(keys: Keys, both: bytes, inbound: bool) -> Context:
    profile = profile_named(keys.suite)
    return Context(profile, MasterKey.split(profile, both), inbound=inbound)


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdin.buffer, sys.stdout.buffer)

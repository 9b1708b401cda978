"""Real threads; jobs that stand still until the test lets them go."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from relay.daemon.computing import MAX_WAITING, Computing
from relay.dtls.association import Association, Job
from relay.dtls.handshake import Role
from relay.dtls.identity import Identity

ASSOCIATION = Association(Identity.create(1_800_000_000.0), Role.PASSIVE, ())


@dataclass(eq=False)
class Gate(Job):
    """Stands still while closed."""

    gate: threading.Event = field(default_factory=threading.Event)
    broken: bool = False

    def run(self) -> None:
        assert self.gate.wait(10.0)
        if self.broken:
            raise RuntimeError("a defect")


def job(optional: bool = True, broken: bool = False) -> Gate:
    return Gate("call", ASSOCIATION, (), optional, broken=broken)


def taken(computing: Computing, number: int, ran: threading.Semaphore) -> list[Job]:
    for _ in range(number):
        assert ran.acquire(timeout=10.0)
    return computing.computed()


def counted() -> tuple[Computing, threading.Semaphore]:
    computing, ran = Computing(), threading.Semaphore(0)
    computing.notify = ran.release
    return computing, ran


def test_jobs_come_back_in_the_order_in_which_they_were_handed_in() -> None:
    computing, ran = counted()
    jobs = [job() for _ in range(20)]
    for one in jobs:
        one.gate.set()
        assert computing.compute(one)
    assert taken(computing, 20, ran) == jobs
    assert computing.computed() == []
    computing.stop()


def test_when_much_waits_only_what_is_needed_is_taken() -> None:
    computing, ran = counted()
    gate = threading.Event()
    accepted = [
        computing.compute(Gate("call", ASSOCIATION, (), True, gate=gate)) for _ in range(2 * MAX_WAITING)
    ]
    assert sum(accepted) == MAX_WAITING
    assert computing.compute(Gate("call", ASSOCIATION, (), False, gate=gate))
    gate.set()
    assert len(taken(computing, MAX_WAITING + 1, ran)) == MAX_WAITING + 1
    again = job()
    again.gate.set()
    assert computing.compute(again)
    assert taken(computing, 1, ran) == [again]
    computing.stop()


def test_a_job_with_a_defect_comes_back_and_the_next_one_runs() -> None:
    computing, ran = counted()
    jobs = [job(broken=True), job()]
    for one in jobs:
        one.gate.set()
        computing.compute(one)
    assert taken(computing, 2, ran) == jobs
    computing.stop()

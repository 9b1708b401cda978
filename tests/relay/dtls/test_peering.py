"""A second ClientHello: a peer that begins anew, or somebody who wants to disturb."""

from __future__ import annotations

from relay.dtls.association import Association, Job, Step
from relay.dtls.handshake import PATIENCE, Handshake, Keys, Reason, Role, Send, State
from relay.dtls.peering import RESTART_EVERY, Ignored, Output, Peering, Unfinished
from tests.relay.dtls.network import OURS, THEIRS, active_end

LATER = 100.0 + RESTART_EVERY


def waiting_end(role: Role = Role.PASSIVE) -> Peering:
    return Peering(THEIRS, role, [OURS.fingerprint()])


def sent(outputs: list[Output]) -> list[bytes]:
    return [output.datagram for output in outputs if isinstance(output, Send)]


def others(outputs: list[Output]) -> list[Output]:
    return [output for output in outputs if not isinstance(output, Send)]


def hello(phone: Handshake, now: float) -> bytes:
    (output,) = phone.start(now)
    assert isinstance(output, Send)
    return output.datagram


def shake(peering: Peering, phone: Handshake, now: float = 100.0) -> tuple[list[Output], list[bytes]]:
    """What comes out at our end, and the phone's last flight."""
    flight, found = [hello(phone, now)], []
    last = flight
    while flight:
        last = flight
        outputs = [output for datagram in flight for output in peering.advance(now, datagram)]
        found += others(outputs)
        answers = [output for datagram in sent(outputs) for output in phone.received(datagram, now)]
        flight = [output.datagram for output in answers if isinstance(output, Send)]
    return found, last


def test_a_peer_that_begins_anew_gets_new_keys() -> None:
    peering = waiting_end()
    (first,), _ = shake(peering, active_end())
    (second,), _ = shake(peering, active_end(), LATER)
    assert isinstance(first, Keys)
    assert isinstance(second, Keys)
    assert first.local != second.local


def test_a_client_hello_beside_keys_leaves_the_old_handshake_as_it_is() -> None:
    peering = waiting_end()
    _, last = shake(peering, active_end())
    assert sent(peering.advance(LATER, hello(active_end(), LATER)))
    assert peering.state is State.DONE
    assert sent(peering.advance(LATER + 1.0, last[-1]))  # our last flight once more


def test_a_peer_that_begins_anew_and_stops_changes_nothing() -> None:
    peering = waiting_end()
    shake(peering, active_end())
    peering.advance(LATER, hello(active_end(), LATER))
    assert others(peering.advance(LATER + PATIENCE)) == [Unfinished(Reason.TIMEOUT)]
    assert (peering.state, peering.deadline) == (State.DONE, None)


def test_client_hellos_in_quick_succession_are_ignored() -> None:
    peering = waiting_end()
    peering.advance(100.0, hello(active_end(), 100.0))
    outputs = [output for _ in range(100) for output in peering.advance(100.1, hello(active_end(), 100.1))]
    assert outputs == [Ignored()] * 100


def test_a_client_hello_that_leads_nowhere_does_not_keep_the_peer_out() -> None:
    peering = waiting_end()
    peering.advance(100.0, hello(active_end(), 100.0))
    (keys,), _ = shake(peering, active_end(), LATER)
    assert isinstance(keys, Keys)


def test_an_active_end_answers_no_client_hello() -> None:
    peering = waiting_end(Role.ACTIVE)
    assert len(sent(peering.advance(100.0))) == 1
    assert peering.advance(100.0, hello(active_end(), 100.0)) == [Ignored()]


# The same, computed elsewhere.

AT = (7, ("192.0.2.7", 4000))


def association() -> Association:
    return Association(THEIRS, Role.PASSIVE, [OURS.fingerprint()])


def ordered(found: Association) -> Job:
    job = found.job("call")
    assert job is not None
    return job


def test_one_job_is_out_at_a_time_and_what_comes_meanwhile_is_the_next() -> None:
    one = association()
    first, again = hello(active_end(), 100.0), hello(active_end(), 100.0)
    one.put(Step(100.0, AT, first))
    job = ordered(one)
    one.put(Step(100.1, AT, again))
    assert one.job("call") is None
    assert one.deadline is None
    job.run()
    ((where, output),) = one.finish(job)
    assert (where, type(output)) == (AT, Send)
    assert one.state is State.SHAKING
    assert [step.datagram for step in ordered(one).steps] == [again]


def test_what_waits_for_a_job_is_bounded() -> None:
    one = association()
    accepted = [one.put(Step(100.0, AT, b"datagram")) for _ in range(1000)]
    assert 8 < sum(accepted) < 100


def test_a_job_that_was_refused_is_forgotten() -> None:
    one = association()
    one.put(Step(100.0, AT, hello(active_end(), 100.0)))
    one.forget(ordered(one))
    assert one.job("call") is None
    one.put(Step(101.0, AT, hello(active_end(), 101.0)))
    job = ordered(one)
    job.run()
    assert one.finish(job)


def test_only_what_the_peer_repeats_of_itself_may_be_left_undone() -> None:
    one = association()
    one.put(Step(100.0, AT, hello(active_end(), 100.0)))
    job = ordered(one)
    assert job.optional
    job.run()
    one.finish(job)
    one.put(Step(100.1, AT, b"\x16 the next flight"))
    assert not ordered(one).optional
    active = Association(OURS, Role.ACTIVE, [THEIRS.fingerprint()])
    active.put(Step(100.0, AT))
    assert not ordered(active).optional

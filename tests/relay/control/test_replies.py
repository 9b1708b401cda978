from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from relay.control.replies import LIFETIME, Key, Progress, Reply, ReplyCache

PROXY = (("192.0.2.1", 5060), b"1_2_3")
OTHER_PROXY = (("192.0.2.2", 5060), b"1_2_3")


def test_a_repeat_gets_the_stored_bytes() -> None:
    cache = ReplyCache()
    assert cache.begin(PROXY, 0.0) is Progress.NEW
    cache.finish(PROXY, b"answer", 0.1)
    assert cache.begin(PROXY, 50.0) == Reply(b"answer")


def test_a_repeat_waits_while_the_command_runs() -> None:
    cache = ReplyCache()
    cache.begin(PROXY, 0.0)
    assert cache.begin(PROXY, 1.0) is Progress.IN_FLIGHT
    assert cache.begin(PROXY, 2.0) is Progress.IN_FLIGHT
    assert cache.waiters(PROXY) == 2
    assert cache.finish(PROXY, b"answer", 2.5) == 2
    assert cache.waiters(PROXY) == 0


def test_the_same_cookie_from_another_proxy_is_another_command() -> None:
    cache = ReplyCache()
    cache.begin(PROXY, 0.0)
    cache.finish(PROXY, b"answer", 0.0)
    assert cache.begin(OTHER_PROXY, 1.0) is Progress.NEW


def test_a_minute_after_the_answer_the_cookie_is_new_again() -> None:
    cache = ReplyCache()
    cache.begin(PROXY, 0.0)
    cache.finish(PROXY, b"answer", 5.0)
    assert cache.begin(PROXY, 5.0 + LIFETIME - 0.001) == Reply(b"answer")
    assert cache.begin(PROXY, 5.0 + LIFETIME) is Progress.NEW


def test_nothing_is_kept_for_ever() -> None:
    cache = ReplyCache()
    for number in range(1000):
        key = (PROXY[0], b"%d" % number)
        cache.begin(key, 0.0)
        if number % 2:
            cache.finish(key, b"answer", 0.0)
    cache.begin(PROXY, LIFETIME)
    assert len(cache) == 1


def test_the_oldest_go_when_there_are_too_many() -> None:
    cache = ReplyCache(max_entries=2)
    keys = [(PROXY[0], b"%d" % number) for number in range(3)]
    for key in keys:
        cache.begin(key, 0.0)
        cache.finish(key, b"answer", 0.0)
    assert len(cache) == 2
    assert cache.begin(keys[2], 1.0) == Reply(b"answer")
    assert cache.begin(keys[0], 1.0) is Progress.NEW


def test_the_oldest_go_when_they_are_too_large() -> None:
    cache = ReplyCache(max_bytes=1000)
    keys = [(PROXY[0], b"%d" % number) for number in range(3)]
    for key in keys:
        cache.begin(key, 0.0)
        cache.finish(key, bytes(400), 0.0)
    assert len(cache) == 2
    assert cache.begin(keys[2], 1.0) == Reply(bytes(400))


def test_a_command_that_was_dropped_while_running_can_still_finish() -> None:
    cache = ReplyCache(max_entries=1)
    cache.begin(PROXY, 0.0)
    cache.begin(OTHER_PROXY, 0.0)
    assert cache.finish(PROXY, b"answer", 1.0) == 0
    assert cache.begin(PROXY, 1.0) == Reply(b"answer")


class AgainstAPlainModel(RuleBasedStateMachine):
    """The cache answers like a dictionary that is searched from end to end."""

    keys = Bundle[Key]("keys")

    def __init__(self) -> None:
        super().__init__()
        self.cache = ReplyCache(lifetime=10.0)
        self.now = 0.0
        self.model: dict[Key, tuple[float, bytes | None]] = {}

    @rule(target=keys, cookie=st.binary(min_size=1, max_size=1))
    def cookie(self, cookie: bytes) -> Key:
        return (PROXY[0], cookie)

    @rule(seconds=st.floats(0.0, 6.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=keys)
    def begin(self, key: Key) -> None:
        since, reply = self.model.get(key, (-100.0, None))
        known = self.now - since < 10.0
        expected = Progress.NEW if not known else Progress.IN_FLIGHT if reply is None else Reply(reply)
        assert self.cache.begin(key, self.now) == expected
        if not known:
            self.model[key] = (self.now, None)

    @rule(key=keys, reply=st.binary(max_size=3))
    def finish(self, key: Key, reply: bytes) -> None:
        self.cache.finish(key, reply, self.now)
        self.model[key] = (self.now, reply)

    @invariant()
    def no_more_than_the_model_ever_had(self) -> None:
        assert len(self.cache) <= len(self.model)


TestAgainstAPlainModel = AgainstAPlainModel.TestCase


@given(st.lists(st.integers(0, 5), max_size=200), st.integers(1, 4))
def test_the_bounds_always_hold(cookies: list[int], bound: int) -> None:
    cache = ReplyCache(max_entries=bound, max_bytes=bound * 10)
    for now, cookie in enumerate(cookies):
        key = (PROXY[0], b"%d" % cookie)
        if cache.begin(key, float(now)) is Progress.NEW:
            cache.finish(key, bytes(cookie * 2), float(now))
        assert len(cache) <= bound

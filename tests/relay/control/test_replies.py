from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from relay.control.replies import LIFETIME, Key, ReplyCache

PROXY = (("192.0.2.1", 5060), b"1_2_3")
OTHER_PROXY = (("192.0.2.2", 5060), b"1_2_3")


def test_a_repeat_gets_the_stored_bytes() -> None:
    cache = ReplyCache()
    assert cache.find(PROXY, 0.0) is None
    cache.keep(PROXY, b"answer", 0.1)
    assert cache.find(PROXY, 50.0) == b"answer"


def test_the_same_cookie_from_another_proxy_is_another_command() -> None:
    cache = ReplyCache()
    cache.keep(PROXY, b"answer", 0.0)
    assert cache.find(OTHER_PROXY, 1.0) is None


def test_a_minute_after_the_answer_the_cookie_is_new_again() -> None:
    cache = ReplyCache()
    cache.keep(PROXY, b"answer", 5.0)
    assert cache.find(PROXY, 5.0 + LIFETIME - 0.001) == b"answer"
    assert cache.find(PROXY, 5.0 + LIFETIME) is None


def test_nothing_is_kept_for_ever() -> None:
    cache = ReplyCache()
    for number in range(1000):
        cache.keep((PROXY[0], b"%d" % number), b"answer", 0.0)
    cache.find(PROXY, LIFETIME)
    assert len(cache) == 0


def test_the_oldest_go_when_there_are_too_many() -> None:
    cache = ReplyCache(max_entries=2)
    keys = [(PROXY[0], b"%d" % number) for number in range(3)]
    for key in keys:
        cache.keep(key, b"answer", 0.0)
    assert len(cache) == 2
    assert cache.find(keys[2], 1.0) == b"answer"
    assert cache.find(keys[0], 1.0) is None


def test_the_oldest_go_when_they_are_too_large() -> None:
    cache = ReplyCache(max_bytes=1000)
    keys = [(PROXY[0], b"%d" % number) for number in range(3)]
    for key in keys:
        cache.keep(key, bytes(400), 0.0)
    assert len(cache) == 2
    assert cache.find(keys[2], 1.0) == bytes(400)


class AgainstAPlainModel(RuleBasedStateMachine):
    """The cache answers like a dictionary that is searched from end to end."""

    keys = Bundle[Key]("keys")

    def __init__(self) -> None:
        super().__init__()
        self.cache = ReplyCache(lifetime=10.0)
        self.now = 0.0
        self.model: dict[Key, tuple[float, bytes]] = {}

    @rule(target=keys, cookie=st.binary(min_size=1, max_size=1))
    def cookie(self, cookie: bytes) -> Key:
        return (PROXY[0], cookie)

    @rule(seconds=st.floats(0.0, 6.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=keys)
    def find(self, key: Key) -> None:
        since, reply = self.model.get(key, (-100.0, b""))
        assert self.cache.find(key, self.now) == (reply if self.now - since < 10.0 else None)

    @rule(key=keys, reply=st.binary(max_size=3))
    def keep(self, key: Key, reply: bytes) -> None:
        self.cache.keep(key, reply, self.now)
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
        if cache.find(key, float(now)) is None:
            cache.keep(key, bytes(cookie * 2), float(now))
        assert len(cache) <= bound

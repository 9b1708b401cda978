from __future__ import annotations

import pytest

from relay.ice.policy import (
    DEFAULT,
    Decision,
    Optimizer,
    Place,
    Policy,
    Remembered,
    Result,
    decide,
    family_of,
    same_site,
)

HOME = Place("203.0.113.5")
OFFICE = Place("198.51.100.9")
ALWAYS = Policy("p", assist=frozenset(("always",)))
DIRECT = Policy("p", assist=frozenset(("direct-works",)))


def far(place: Place) -> Remembered:
    return Remembered(relay_rtt=0.08)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Place("203.0.113.5"), Place("203.0.113.5"), True),
        (Place("203.0.113.5"), Place("203.0.113.6"), False),
        (Place("2001:db8:0:1::5"), Place("2001:db8:0:1:ffff::6"), True),
        (Place("2001:db8:0:1::5"), Place("2001:db8:0:2::5"), False),
        (Place("203.0.113.5"), Place("2001:db8::5"), False),
        (Place("203.0.113.5", "hq"), Place("203.0.113.6", "hq"), False),
        (Place("203.0.113.5", "hq"), Place(None, "hq"), True),
        (Place(None, "hq"), Place(None, "hq"), True),
        (Place(None, "hq"), Place(None, "branch"), False),
        (Place(None, "lte:26201"), Place(None, "lte:26201"), False),
        (Place(), Place(), False),
        (Place("203.0.113.5"), Place(), False),
    ],
)
def test_one_site_is_one_public_address_or_one_known_network(one: Place, other: Place, same: bool) -> None:
    assert same_site(one, other) is same
    assert same_site(other, one) is same


@pytest.mark.parametrize(
    ("policy", "places", "optimizer", "obstacles", "result", "why"),
    [
        (DEFAULT, (HOME, OFFICE), Optimizer(), (), "relay", "default"),
        (DEFAULT, (HOME, HOME), Optimizer(), (), "assist", "same-site"),
        (DEFAULT, (HOME, HOME), Optimizer(), ("keys", "rtcp-mux"), "relay", "keys"),
        (DEFAULT, (HOME, OFFICE), Optimizer(remembered=far), (), "assist", "far-relay"),
        (Policy("p", assist=frozenset()), (HOME, HOME), Optimizer(), (), "relay", "policy"),
        (ALWAYS, (HOME, OFFICE), Optimizer(), (), "assist", "policy"),
        (ALWAYS, (HOME, HOME), Optimizer(), ("no-ice",), "relay", "no-ice"),
        (Policy("p", assist=frozenset(("far-relay",))), (HOME, HOME), Optimizer(), (), "relay", "default"),
        (
            Policy("p", assist=frozenset(("same-site",))),
            (HOME, OFFICE),
            Optimizer(remembered=far),
            (),
            "relay",
            "default",
        ),
    ],
)  # fmt: skip
def test_media_may_go_direct_only_for_a_reason_and_with_nothing_in_the_way(
    policy: Policy,
    places: tuple[Place, Place],
    optimizer: Optimizer,
    obstacles: tuple[str, ...],
    result: str,
    why: str,
) -> None:
    assert decide(policy, places, optimizer, obstacles) == Decision(Result(result), why)


@pytest.mark.parametrize(
    ("policy", "caller", "callee", "why"),
    [
        (DIRECT, "open", "open", "direct-works"),
        (DIRECT, "open", "closed", "default"),
        (DIRECT, "closed", "open", "default"),
        (DEFAULT, "open", "open", "default"),
    ],
)
def test_apps_that_reached_others_let_phones_meet_only_if_the_operator_says_so(
    policy: Policy, caller: str, callee: str, why: str
) -> None:
    optimizer = Optimizer(remembered=lambda place: Remembered(direct_works=place.network == "open"))
    places = (Place("203.0.113.5", caller), Place("198.51.100.9", callee))
    assert decide(policy, places, optimizer).why == why


@pytest.mark.parametrize(("rtt", "assist"), [(0.075, False), (0.076, True), (None, False)])
def test_a_relay_is_far_above_150_ms_on_both_legs_together(rtt: float | None, assist: bool) -> None:
    found = decide(DEFAULT, (HOME, OFFICE), Optimizer(remembered=lambda place: Remembered(rtt)))
    assert (found.result is Result.ASSIST) is assist


def test_the_first_policy_that_fits_counts() -> None:
    inside = Policy("inside", interface="in")
    phones = Policy("phones", family="linphone", direction="offer")
    optimizer = Optimizer((inside, phones))
    assert optimizer.fitting("in", "offer", "linphone") is inside
    assert optimizer.fitting("out", "offer", "linphone") is phones
    assert optimizer.fitting("out", "answer", "linphone") is DEFAULT
    assert optimizer.fitting("out", "offer", "") is DEFAULT
    assert (optimizer.named("phones"), optimizer.named("none")) == (phones, None)


@pytest.mark.parametrize(
    ("user_agent", "family"),
    [("Linphone/5.2 (Debian)", "linphone"), ("baresip v3.1", "baresip"), ("", ""), (None, ""), ("/", "")],
)
def test_a_user_agents_family_is_its_first_word_without_version(user_agent: str | None, family: str) -> None:
    assert family_of(user_agent) == family

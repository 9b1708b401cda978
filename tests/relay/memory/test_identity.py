from __future__ import annotations

import pytest

from relay.memory.identity import agent_family, everyone, identify

SECRET = b"s" * 32
ALICE = "198.51.100.7"


def test_the_name_that_the_client_gives_wins_over_its_address() -> None:
    homes = [identify(SECRET, "home", source, None) for source in (ALICE, "203.0.113.5")]
    assert homes[0].network == homes[1].network
    assert homes[0].site != homes[1].site, "where its phones are seen is known beside that"
    assert identify(SECRET, "home", ALICE, None).named
    assert identify(SECRET, "home", ALICE, None).network != identify(SECRET, "work", ALICE, None).network


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (ALICE, ALICE, True),
        (ALICE, "198.51.100.8", False),
        (ALICE, "::ffff:198.51.100.7", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ],
)
def test_a_site_is_one_address_or_one_subnet(one: str, other: str, same: bool) -> None:
    sites = [identify(SECRET, network, source, None).site for network, source in ((None, one), ("x", other))]
    assert {len(site) for site in sites} == {8}
    assert (sites[0] == sites[1]) is same
    assert identify(SECRET, "home", None, None).site == b""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("198.51.100.7", "198.51.100.200", True),
        ("198.51.100.7", "198.51.101.7", False),
        ("2001:db8:1:2::1", "2001:db8:1:ffff::9", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("::ffff:198.51.100.7", "198.51.100.8", True),
    ],
)
def test_without_a_name_a_network_is_an_address_prefix(one: str, other: str, same: bool) -> None:
    networks = [identify(SECRET, None, source, "Linphone/5").network for source in (one, other)]
    assert None not in networks
    assert (networks[0] == networks[1]) is same


def test_apps_of_one_family_share_a_prefix_and_others_do_not() -> None:
    old, new = identify(SECRET, None, ALICE, "Linphone/4.1"), identify(SECRET, None, ALICE, "Linphone/5.2 x")
    assert (old.network, old.family) == (new.network, new.family)
    assert old.network != identify(SECRET, None, ALICE, "baresip/3").network


@pytest.mark.parametrize("source", [None, "", "phone.example.org", "10.0.0.1%eth0"])
def test_without_name_and_address_there_is_no_network(source: str | None) -> None:
    assert identify(SECRET, None, source, "Linphone/5").network is None


def test_a_name_that_is_too_long_counts_as_none() -> None:
    assert identify(SECRET, "x" * 65, None, None).network is None
    assert identify(SECRET, "\u00e9" * 33, None, None).network is None
    assert identify(SECRET, "x" * 64, None, None).network is not None


def test_nothing_of_a_name_or_address_is_in_the_hash_and_another_secret_gives_another() -> None:
    found = identify(SECRET, "home-wifi", ALICE, None)
    assert found.network is not None
    assert len(found.network) == 16
    assert b"home" not in found.network
    assert found.network != identify(b"t" * 32, "home-wifi", ALICE, None).network
    assert found.network != everyone(SECRET)


@pytest.mark.parametrize(
    ("agent", "family"),
    [
        ("Linphone/5.2.1 (Android)", "linphone"),
        ("Zoiper_v2.3", "zoiper"),
        ("baresip v3.1.0 (x86_64/Linux)", "baresip"),
        ("PJSUA", "pjsua"),
        ("X" * 99, "x" * 24),
        ("", ""),
        (None, ""),
        ("  ", ""),
        ("12345", ""),
    ],
)
def test_a_family_is_the_first_product_without_its_version(agent: str | None, family: str) -> None:
    assert agent_family(agent) == family


def test_the_transport_of_the_signalling_tells_networks_behind_one_prefix_apart() -> None:
    def network(transport: str, name: str | None = None) -> bytes | None:
        return identify(SECRET, name, ALICE, "Linphone/5", transport).network

    assert len({network(""), network("udp"), network("tls")}) == 3
    assert network("tls", "home") == network("udp", "home")

from relay.config.settings import Interface, Settings
from relay.daemon import ready_line, too_few_descriptors


def test_the_line_at_start_names_the_address_that_peers_are_told() -> None:
    settings = Settings(
        (Interface("priv", "10.0.0.1", "203.0.113.7"), Interface("pub", "192.0.2.7", "192.0.2.7"))
    )
    assert "media priv/10.0.0.1!203.0.113.7 pub/192.0.2.7 ports 30000-39999" in ready_line(settings)


def test_a_limit_of_descriptors_that_most_ports_fit_in_is_not_worth_a_word() -> None:
    assert too_few_descriptors(20_000, 20_002) == []


def test_a_limit_of_descriptors_far_below_the_ports_is_said_with_what_to_raise() -> None:
    (text,) = too_few_descriptors(1024, 10_000)
    assert text == "at most 960 of the 10000 ports can be open: raise LimitNOFILE (ulimit -Hn is 1024)"

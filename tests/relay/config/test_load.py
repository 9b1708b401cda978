from __future__ import annotations

from pathlib import Path

import pytest

from relay.config import ConfigError, Interface, Settings, load
from relay.config.settings import available_cores

MACHINE = [("lo", "127.0.0.1"), ("lo", "::1"), ("eth0", "192.0.2.7"), ("eth0", "2001:db8::7")]
V4 = Interface("default", "192.0.2.7", "192.0.2.7")
V6 = Interface("default", "2001:db8::7", "2001:db8::7")


def settings(**options: str) -> Settings:
    """What a command line gives; the interface is there unless it is the subject."""
    given = {"interface": "192.0.2.7", **{name.replace("_", "-"): text for name, text in options.items()}}
    return load({name: [text] for name, text in given.items()}, MACHINE).settings


def error(**options: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(**options)
    return str(caught.value)


def test_defaults_are_rtpengines() -> None:
    found = settings()
    assert found.listen_ng == (("127.0.0.1", 2223),)
    assert (found.port_min, found.port_max) == (30000, 39999)
    assert (found.timeout, found.silent_timeout, found.offer_timeout) == (60, 3600, 3600)
    assert (found.final_timeout, found.delete_delay, found.tos) == (0, 30, 0)
    assert found.workers >= 1


def test_without_an_interface_the_error_names_the_machines_addresses() -> None:
    with pytest.raises(ConfigError, match=r"write --interface=192\.0\.2\.7 .*192\.0\.2\.7, 2001:db8::7"):
        load({}, MACHINE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", [V4]),
        ("[2001:db8::7]", [V6]),
        ("192.0.2.7!198.51.100.1", [Interface("default", "192.0.2.7", "198.51.100.1")]),
        ("pub/192.0.2.7!198.51.100.1", [Interface("pub", "192.0.2.7", "198.51.100.1")]),
        ("192.0.2.7;2001:db8::7", [V4, V6]),
        ("192.0.2.7; 192.0.2.7 ;", [V4]),
        ("any", [V4, V6]),
        (
            "in/eth0",
            [Interface("in", "192.0.2.7", "192.0.2.7"), Interface("in", "2001:db8::7", "2001:db8::7")],
        ),
        ("eth0!198.51.100.1", [Interface("default", "192.0.2.7", "198.51.100.1")]),
    ],
)
def test_interfaces_are_written_as_for_rtpengine(text: str, expected: list[Interface]) -> None:
    assert list(settings(interface=text).interfaces) == expected


def test_an_interface_knows_its_family() -> None:
    assert [interface.family for interface in (V4, V6)] == ["IP4", "IP6"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("eth9", "eth9 is not an IP address; write an address of this machine (192.0.2.7, 2001:db8::7)"),
        ("pub/", "nothing is not an IP address"),
        ("/192.0.2.7", "write public/192.0.2.7"),
        ("pub:1/192.0.2.7", "interface names are plain words"),
        ("0.0.0.0", "no peer can send to 0.0.0.0"),
        ("fe80::1", "no peer can send to fe80::1"),
        ("192.0.2.7!public.example", "public.example is not an IP address; after the ! write the address"),
        ("192.0.2.7!2001:db8::1", "2001:db8::1 is of another family than 192.0.2.7"),
    ],
)
def test_a_wrong_interface_is_refused_with_what_to_write(text: str, complaint: str) -> None:
    message = error(interface=text)
    assert message.startswith(f"--interface={text}: ")
    assert complaint in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:22222", [("127.0.0.1", 22222)]),
        ("[::1]:22222", [("::1", 22222)]),
        ("localhost:22222", [("127.0.0.1", 22222)]),
        ("127.0.0.1:1;127.0.0.1:2", [("127.0.0.1", 1), ("127.0.0.1", 2)]),
        ("22222", [("0.0.0.0", 22222), ("::", 22222)]),
    ],
)
def test_listening_addresses(text: str, expected: list[tuple[str, int]]) -> None:
    assert list(settings(listen_http=text).listen_http) == expected


def test_a_port_alone_is_ipv4_only_where_there_is_no_ipv6() -> None:
    loaded = load({"interface": ["192.0.2.7"], "listen-ng": ["2223"]}, [("eth0", "192.0.2.7")])
    assert loaded.settings.listen_ng == (("0.0.0.0", 2223),)
    assert "whoever reaches it controls calls" in loaded.notices[0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("127.0.0.1", "not a port"),
        ("127.0.0.1:0", "0 is not a port"),
        ("127.0.0.1:65536", "65536 is not a port"),
        ("::1:2223", "write [::1]:2223"),
        ("nowhere.invalid:2223", "nowhere.invalid has no address"),
    ],
)
def test_a_wrong_listening_address_is_refused(text: str, complaint: str) -> None:
    assert complaint in error(listen_ng=text)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"port_min": "70000"}, "--port-min=70000: ports go from 1 to 65535; write a number below port-max"),
        ({"port_min": "many"}, "--port-min=many: not a whole number"),
        ({"port_min": "40000"}, "--port-min=40000: leaves no pair of ports up to port-max (39999)"),
        ({"port_max": "29999"}, "--port-max=29999: leaves no pair of ports above port-min (30000)"),
        ({"port_min": "30001", "port_max": "30002"}, "leaves no pair of ports"),
        ({"timeout": "1.5"}, "--timeout=1.5: not a whole number; write seconds, 60 for example"),
        ({"tos": "256"}, "--tos=256: TOS bytes go from 0 to 255"),
        ({"log_level": "loud"}, "--log-level=loud: write 0 to 7"),
        ({"workers": "257"}, "--workers=257: workers go from 1"),
        ({"range_socket": "on"}, "--range-socket=on: write auto or off"),
        ({"coalesce_us": "20000"}, "--coalesce-us=20000: microseconds go from 0 to 10000"),
        ({"prot_min": "1"}, "--prot-min=1: no such option; did you mean port-min?"),
    ],
)
def test_a_wrong_value_is_refused_with_what_to_write(options: dict[str, str], complaint: str) -> None:
    assert complaint in error(**options)


@pytest.mark.parametrize(
    ("name", "text", "meaning"),
    [
        ("timeout", "0", 60),
        ("timeout", "-1", 60),
        ("silent_timeout", "0", 3600),
        ("offer_timeout", "0", 3600),
        ("final_timeout", "-1", 0),
        ("delete_delay", "-1", 0),
        ("log_level", "8", "DEBUG"),
        ("log_level", "-1", "CRITICAL"),
        ("num_threads", "0", available_cores()),
        ("num_threads", "-1", available_cores()),
    ],
)
def test_values_that_rtpengine_starts_with_mean_what_they_mean_to_it(
    name: str, text: str, meaning: object
) -> None:
    assert getattr(settings(**{name: text}), name.replace("num_threads", "workers")) == meaning


def test_two_ports_are_enough_if_the_first_is_even() -> None:
    assert settings(port_min="30000", port_max="30001").port_max == 30001


@pytest.mark.parametrize(
    ("text", "level"),
    [("0", "CRITICAL"), ("3", "ERROR"), ("5", "INFO"), ("7", "DEBUG"), ("warning", "WARNING")],
)
def test_log_levels_are_numbers_or_names(text: str, level: str) -> None:
    assert settings(log_level=text).log_level == level


def test_waiting_for_company_can_be_switched_off() -> None:
    assert settings().coalesce_us == 1000
    assert settings(coalesce_us="0").coalesce_us == 0


def test_num_threads_is_another_name_of_workers() -> None:
    assert settings(num_threads="3").workers == 3


def test_options_of_rtpengine_are_named_in_one_notice() -> None:
    loaded = load({"interface": ["192.0.2.7"], "table": ["-1"], "foreground": [""]}, MACHINE)
    assert loaded.notices == ("ignored, options of rtpengine that icerelay does not have: table, foreground",)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "icerelay.toml"
    file.write_text('interface = ["192.0.2.7"]\nport-min = 20000\ntimeout = 90\n')
    found = load(
        {"config-file": [str(file)], "interface": ["2001:db8::7"], "timeout": ["30"]}, MACHINE
    ).settings
    assert (found.interfaces, found.port_min, found.timeout) == ((V6,), 20000, 30)


def test_a_memory_is_off_unless_somebody_says_where() -> None:
    assert (settings().memory, settings().memory_retention, settings().advice_turn) == ("off", 30, ())
    assert settings(memory="/var/lib/icerelay/memory.db").memory == "/var/lib/icerelay/memory.db"
    turn = settings(advice_turn="turn:a.example:443?transport=tcp;turns:b.example:443").advice_turn
    assert turn == ("turn:a.example:443?transport=tcp", "turns:b.example:443")


@pytest.mark.parametrize(
    ("option", "text", "hint"),
    [
        ("memory", "http://example.org", "redis://HOST:PORT"),
        ("memory", "", "or off"),
        ("memory", "redis://127.0.0.1:6379/0", "one file, the same for all relays"),
        ("memory_retention", "0", "days go from 1"),
        ("advice_turn", "stun:turn.example.org", "turn:turn.example.org:443"),
        ("feedback_token", "", "path of a file"),
    ],
)
def test_a_memory_that_cannot_be_is_refused_with_a_hint(option: str, text: str, hint: str) -> None:
    assert hint in error(**{option: text})

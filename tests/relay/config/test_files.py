from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.config import ConfigError, Loaded, load

MACHINE = [("lo", "127.0.0.1"), ("eth0", "192.0.2.7")]

STOCK = """\
[rtpengine]

table = 0
# no-fallback = false
interface = any

listen-ng = localhost:2223
listen-http = localhost:2225
listen-cli = localhost:2224
timeout = 60
tos = 184
port-min = 30000
port-max = 40000
recording-dir = /var/spool/rtpengine

[rtpengine-testing]
table = -1
interface = pub/192.0.2.7!198.51.100.1;in/10.0.0.1
listen-ng = 2223
log-level = 7
"""
"""The shape of the file that Debian's rtpengine 10.5 installs."""


def written(path: Path, text: str, **options: str) -> Loaded:
    path.write_text(text)
    given = {"config-file": str(path), **{name.replace("_", "-"): value for name, value in options.items()}}
    return load({name: [value] for name, value in given.items()}, MACHINE)


def error(path: Path, text: str, **options: str) -> str:
    with pytest.raises(ConfigError) as caught:
        written(path, text, **options)
    return str(caught.value).replace(str(path), path.name)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "icerelay.toml"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return tmp_path / "rtpengine.conf"


def test_the_file_of_an_rtpengine_is_accepted_as_it_is(conf: Path) -> None:
    loaded = written(conf, STOCK)
    found = loaded.settings
    assert [interface.address for interface in found.interfaces] == ["192.0.2.7"]
    assert (found.listen_ng, found.listen_http) == ((("127.0.0.1", 2223),), (("127.0.0.1", 2225),))
    assert (found.port_max, found.tos) == (40000, 184)
    assert loaded.notices == (
        "ignored, options of rtpengine that icerelay does not have: table, listen-cli, recording-dir",
    )


def test_comments_of_an_rtpengine_conf_stand_on_lines_of_their_own_and_behind_numbers(conf: Path) -> None:
    text = """
[rtpengine]
# a comment
interface = 192.0.2.7
timeout = 90 # seconds
listen-ng = localhost:2223 # the proxy's
"""
    found = written(conf, text).settings
    assert (found.timeout, found.listen_ng) == (90, (("127.0.0.1", 2223),))


def test_a_comment_behind_an_address_is_part_of_it_as_rtpengine_reads_it(conf: Path) -> None:
    complaint = error(conf, "[rtpengine]\ninterface = 192.0.2.7 # eth0\n")
    assert (
        "rtpengine.conf:2: interface = 192.0.2.7 # eth0: 192.0.2.7 # eth0 is not an IP address" in complaint
    )


def test_another_section_of_it_can_be_chosen(conf: Path) -> None:
    found = written(conf, STOCK, config_section="rtpengine-testing").settings
    assert [(interface.name, interface.advertised) for interface in found.interfaces] == [
        ("pub", "198.51.100.1"),
        ("in", "10.0.0.1"),
    ]
    assert found.log_level == "DEBUG"


def test_a_key_that_not_even_rtpengine_has_is_mentioned_and_ignored(conf: Path) -> None:
    loaded = written(conf, "[rtpengine]\ninterface = 192.0.2.7\nport-mni = 1\n")
    assert loaded.notices == (f"{conf}:3: port-mni: no such option, ignored; did you mean port-min?",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "[rtpengine]\nport-max = x\n",
            "rtpengine.conf:2: port-max = x: not a whole number; write a number above",
        ),
        ("[rtpengine]\ninterface =\n", "rtpengine.conf:2: interface = : nothing is not an IP address"),
        ("[rtpengine]\n\nnonsense\n", "rtpengine.conf:3: nonsense: not a setting; write key = value"),
        (
            "port-min = 1\n",
            "rtpengine.conf:1: port-min = 1: stands before any section; write [rtpengine] above it",
        ),
        ("[other]\n", "rtpengine.conf: has no [rtpengine] (other); write --config-section=NAME"),
    ],
)
def test_errors_in_an_rtpengine_conf_name_file_and_line(conf: Path, text: str, complaint: str) -> None:
    assert error(conf, text).startswith(complaint)


def test_toml_has_the_same_keys(toml: Path) -> None:
    loaded = written(
        toml, 'interface = ["pub/192.0.2.7", "192.0.2.7"]\nport-min = 20000\nlog-level = "debug"\n'
    )
    assert [interface.name for interface in loaded.settings.interfaces] == ["pub", "default"]
    assert (loaded.settings.port_min, loaded.settings.log_level) == (20000, "DEBUG")


def test_a_table_of_the_toml_can_be_chosen(toml: Path) -> None:
    text = '[one]\ninterface = "192.0.2.7"\nport-min = 1\n[two]\ninterface = "192.0.2.7"\nport-min = 70000\n'
    assert written(toml, text, config_section="one").settings.port_min == 1
    assert error(toml, text, config_section="two").startswith("icerelay.toml:6: port-min = 70000: ")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "timeout = 60\nport-min = 70000\n",
            "icerelay.toml:2: port-min = 70000: ports go from 1 to 65535; write",
        ),
        ("port_min = 20000\n", "icerelay.toml:1: port_min = 20000: no such option; did you mean port-min?"),
        ("timeout = true\n", "icerelay.toml:1: timeout = true: not a whole number; write seconds"),
        ("\n[media]\nport-min = 1\n", "icerelay.toml:2: [media]: settings stand at the top of the file"),
        ("timeout = 60\nport-min = \n", "icerelay.toml:2: not TOML: Invalid value"),
    ],
)
def test_errors_in_toml_name_file_and_line(toml: Path, text: str, complaint: str) -> None:
    assert error(toml, text).startswith(complaint)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"nothing\.toml: No such file or directory; write --config-file=FILE"
    ):
        load({"config-file": [str(tmp_path / "nothing.toml")]}, MACHINE)


POLICIES = """\
interface = "192.0.2.7"

[policy.office]
interface = "in"
assist = "always"
drop = ["mdns", "tcp"]

[policy.rest]
assist = ["same-site", "far-relay"]
direct = 2
"""


def test_each_policy_has_a_table_in_the_toml_and_a_line_elsewhere(toml: Path, conf: Path) -> None:
    lines = """[rtpengine]
interface = 192.0.2.7
policy = office interface=in assist=always drop=mdns,tcp; rest direct=2
"""
    found = written(toml, POLICIES).settings.policy
    assert [(one.name, one.direct, one.interface) for one in found] == [
        ("office", 4, "in"),
        ("rest", 2, None),
    ]
    assert (found[0].assist, found[0].drop) == (
        frozenset(("always",)),
        frozenset(("mdns", "tcp")),
    )
    assert written(conf, lines).settings.policy == found


@pytest.mark.parametrize(
    ("changed", "into", "complaint"),
    [
        ('assist = "always"', 'assist = "often"', "icerelay.toml:3: policy = office interface=in assist"),
        ("direct = 2", "direct = 8", "icerelay.toml:8: policy = rest assist="),
        ("direct = 2", "own = 0", "icerelay.toml:8: policy = rest assist="),
        ("[policy.office]", "[policy]\nx = 1\n[policy.office]", "icerelay.toml:1: x: stands in no policy"),
        ("[policy.rest]", "[polics.rest]", "icerelay.toml:8: [polics]: settings stand at the top"),
    ],
)
def test_errors_in_a_policy_name_its_table(toml: Path, changed: str, into: str, complaint: str) -> None:
    assert error(toml, POLICIES.replace(changed, into)).startswith(complaint)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "a policy begins with its name"),
        ("assist=never", "a policy begins with its name"),
        ("x direction=up", "no direction: up; write offer (who is called) or answer (who calls)"),
        ("x drop=udp", "drop=udp is not known; write some of host,srflx,prflx,relay,tcp,mdns,ip4,ip6"),
        ("x assist=", "assist= is not known; write never or some of same-site,far-relay,direct-works,always"),
        ("x own=5", "5 is no number of candidates; write 1 to 4"),
        ("x interface=", "a value is missing after the ="),
        ("x more", "more is no part of a policy; write key=value"),
    ],
)
def test_a_wrong_policy_is_refused_with_what_to_write(line: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load({"interface": ["192.0.2.7"], "policy": [line]}, MACHINE)


def test_a_policy_may_forbid_to_assist() -> None:
    (policy,) = load({"interface": ["192.0.2.7"], "policy": ["x assist=never"]}, MACHINE).settings.policy
    assert policy.assist == frozenset()

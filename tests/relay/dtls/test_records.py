from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.dtls.records import Record, claims_too_much, client_random, pack, read_records
from tests.relay.dtls.network import active_end

FLIGHT_LENGTHS = [89, 1111, 137, 577, 73, 25]
"""Records of a server with an RSA-4096 certificate, as OpenSSL writes them in one piece."""


def record(length: int, kind: int = 22, epoch: int = 0) -> bytes:
    """``length`` counts the header."""
    body = bytes(length - 13)
    return bytes([kind, 0xFE, 0xFD]) + epoch.to_bytes(2) + bytes(6) + len(body).to_bytes(2) + body


def message(kind: int, body: bytes, length: int | None = None, offset: int = 0) -> bytes:
    """A record with one fragment of a handshake message that claims to be ``length`` bytes long."""
    claimed = (len(body) if length is None else length).to_bytes(3)
    fragment = bytes([kind]) + claimed + bytes(2) + offset.to_bytes(3) + len(body).to_bytes(3) + body
    return record(13 + len(fragment))[:13] + fragment


def test_a_flight_is_cut_between_records() -> None:
    flight = b"".join(map(record, FLIGHT_LENGTHS))
    datagrams = pack(flight)
    assert [len(datagram) for datagram in datagrams] == [1200, 137 + 577 + 73 + 25]
    assert b"".join(datagrams) == flight


def test_a_datagram_with_anything_behind_its_records_is_no_dtls() -> None:
    assert len(read_records(record(50) + record(20, kind=21))) == 2
    assert read_records(record(50) + b"\x16") == []
    assert read_records(record(50)[:-1]) == []


def test_rtp_and_stun_are_no_dtls() -> None:
    assert read_records(bytes([0x80, 0xFE]) + bytes(40)) == []
    assert read_records(bytes([0x00, 0xFE]) + bytes(40)) == []


def test_kind_and_epoch_are_read() -> None:
    data = record(40, kind=23, epoch=1)
    assert read_records(data) == [Record(23, 1, data)]


def test_a_client_hello_is_known_by_its_random() -> None:
    hello = b"\xfe\xfd" + bytes(range(32)) + bytes(30)
    assert client_random(read_records(message(1, hello))) == bytes(range(32))
    assert client_random(read_records(message(1, hello[:40], length=64))) == bytes(range(32))
    assert client_random(read_records(message(1, hello[40:], length=64, offset=40))) is None
    assert client_random(read_records(message(2, hello))) is None


def test_a_message_of_a_megabyte_claims_too_much() -> None:
    assert claims_too_much(read_records(message(11, bytes(100), length=1 << 20)))
    assert not claims_too_much(read_records(message(11, bytes(100), length=6000)))


def test_every_fragment_of_a_record_is_looked_at() -> None:
    modest, greedy = message(1, bytes(40)), message(11, bytes(10), length=99999)
    both = modest[13:] + greedy[13:]
    assert claims_too_much(read_records(record(13 + len(both))[:13] + both))


@given(st.binary(max_size=100), st.integers(0, 255), st.integers(0, 300))
def test_anything_can_be_read(noise: bytes, value: int, at: int) -> None:
    (hello,) = active_end().start(0.0)
    spoilt = bytearray(hello.datagram)  # type: ignore[union-attr]
    spoilt[at % len(spoilt)] = value
    for datagram in (noise, bytes(spoilt), bytes(spoilt) + noise):
        records = read_records(datagram)
        client_random(records)
        claims_too_much(records)

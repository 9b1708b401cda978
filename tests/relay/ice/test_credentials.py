from __future__ import annotations

from relay.ice.credentials import ICE_CHARS, PWD_LENGTH, UFRAG_LENGTH, Credentials, new


def test_new_credentials_have_the_lengths_that_rtpengine_uses() -> None:
    credentials = new()
    assert (len(credentials.ufrag), len(credentials.pwd)) == (UFRAG_LENGTH, PWD_LENGTH) == (8, 26)
    assert set(credentials.ufrag + credentials.pwd) <= set(ICE_CHARS)


def test_no_two_are_alike() -> None:
    assert new() != new()


def test_the_randomness_can_be_given() -> None:
    assert new(bytes) == Credentials("a" * 8, "a" * 26)


def test_bytes_that_would_favour_some_characters_are_passed_over() -> None:
    given = iter([b"\xf8\xff" * 24, b"\xf7" * 20 + b"\xf8" * 28, bytes(48)])
    assert new(lambda _: next(given)) == Credentials("9" * 8, "9" * 12 + "a" * 14)


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials("ufrag", "secret"))

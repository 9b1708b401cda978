from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ng.rtpp import Word, read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  a   b ", [(None, "a"), (None, "b")]),
        ("k=v", [("k", "v")]),
        ("k=", [("k", "")]),
        ("k=a=b", [("k", "a=b")]),
        ("k=[a b] c", [("k", ["a", "b"]), (None, "c")]),
        ("k=[]", [("k", [])]),
        ("k=[a=1 b=[x y]]", [("k", {"a": "1", "b": ["x", "y"]})]),
        ("k=[a=1 b]", [("k", ["a=1", "b"])]),
        ("k=[a b", [("k", ["a", "b"])]),
        ("a] b", [(None, "a"), (None, "b")]),
        ("[a", [(None, "[a")]),
    ],
)
def test_words_are_read(text: str, words: list[Word]) -> None:
    assert read(text) == words


@given(st.text("ab=[] \t", max_size=60))
def test_any_text_is_read(text: str) -> None:
    read(text)


def test_64_kib_of_brackets_are_read() -> None:
    read("k=[" * 21_000)
    read("]" * 64_000)
    read("=[" * 32_000)

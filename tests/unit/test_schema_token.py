"""Consistency tokens."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holonstream.schemas.errors import InvalidToken
from holonstream.schemas.token import Token

TOKENS = st.builds(Token, st.dictionaries(st.text(max_size=8), st.integers(0, 2**62), max_size=4))


def encoded(body: str) -> str:
    return "h1." + base64.urlsafe_b64encode(body.encode()).rstrip(b"=").decode()


@given(TOKENS)
def test_its_text_reads_back(token: Token) -> None:
    assert Token.parse(str(token)) == token
    assert Token.of(str(token)) == token
    assert Token.of(token) is token


def test_the_text_is_fixed() -> None:
    token = Token({"relationship/r-1": 5, "holon/ä?": 17})
    assert str(token) == encoded('{"holon/ä?":17,"relationship/r-1":5}')
    assert "=" not in str(token)


@given(TOKENS, TOKENS, TOKENS)
def test_a_merged_token_requires_what_each_requires(one: Token, two: Token, three: Token) -> None:
    merged = one.merge(two, three)
    for token in (one, two, three):
        assert all(merged.positions[stream] >= position for stream, position in token.positions.items())
    assert set(merged.positions) == {*one.positions, *two.positions, *three.positions}
    assert merged == three.merge(one).merge(two)
    assert one.merge() == one


@pytest.mark.parametrize(
    "text",
    [
        "",
        "holon/a",
        "h2." + encoded('{"a":1}')[3:],
        "h1.",
        "h1.!!!",
        "h1.é",
        encoded("[]"),
        encoded("{"),
        encoded('{"a":-1}'),
        encoded('{"a":true}'),
        encoded('{"a":1.5}'),
        encoded('{"a":"1"}'),
        encoded('{"a":null}'),
        encoded('{"a":9223372036854775808}'),
    ],
)
def test_a_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken, match="Invalid token: "):
        Token.parse(text)


@pytest.mark.parametrize("given", [3, b"h1.e30", ["h1.e30"]])
def test_what_is_no_text_is_no_token(given: Any) -> None:
    with pytest.raises(InvalidToken, match="is no text"):
        Token.of(given)

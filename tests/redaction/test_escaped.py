"""What is escaped, as in URLs, pages and JSON, is found where it stands."""

from __future__ import annotations

import time
import urllib.parse

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentops.redaction import inside
from agentops.redaction.redactor import Redactor

pytest.importorskip("presidio_analyzer", reason="needs presidio: pip install 'agentops-recorder[pii]'")

_REDACTOR = Redactor()
_MAIL = "<EMAIL_ADDRESS>"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("nora%40x.example", _MAIL),
        ("a=1 mail=%6eora%40x.example n=2", f"a=1 mail={_MAIL} n=2"),
        ("to=nora%2540x.example", f"to={_MAIL}"),
        ("?card=4012%208888%208888%201881&x=1", "?card=<CREDIT_CARD>&x=1"),
        ("%C3%BC 4012%C2%A08888%C2%A08888%C2%A01881%20%C3%BC", "%C3%BC <CREDIT_CARD>%20%C3%BC"),
        ("for greta&#64;kunden.de &amp; co", f"for {_MAIL} &amp; co"),
        ("for greta&#x40;kunden&period;de", f"for {_MAIL}"),
        (
            'it said {"mail": "greta\\u0040kunden.de", "n": 1} and left',
            f'it said {{"mail": "{_MAIL}", "n": 1}} and left',
        ),
        ("%7B%22password%22%3A%20%22hunter2-Xq9z%22%7D", "%7B%22password%22%3A%20%22<PASSWORD>%22%7D"),
        ("100%25 of 20%40, &c; and a%zz", "100%25 of 20%40, &c; and a%zz"),
    ],
)
def test_what_is_escaped_is_taken_out_and_the_rest_stays_as_it_was(text: str, redacted: str) -> None:
    assert _REDACTOR.text(text) == redacted
    if text != redacted:
        for data in (text.encode(), msgspec.msgpack.encode({"url": text})):
            assert _REDACTOR.may_hold(data)


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab%4025&#;x\\u0é€\U0001f600"), max_size=30))
def test_places_in_what_was_opened_are_places_in_the_text(text: str) -> None:
    escaped = urllib.parse.quote(text)
    opened = inside.view(escaped)
    if opened is None:
        assert escaped == text
        return
    assert opened.text == text
    for n, character in enumerate(text):
        assert escaped[opened.place(n) : opened.end(n + 1)] in (character, urllib.parse.quote(character))
    assert opened.end(len(text)) == len(escaped)


@pytest.mark.parametrize("text", ["%25" * 60_000, "%" + "25" * 90_000, "&amp;" * 40_000, "\\u0025" * 30_000])
def test_escapes_without_end_take_bounded_time(text: str) -> None:
    start = time.process_time()
    _REDACTOR.text(text)
    _REDACTOR.may_hold(text.encode())
    assert time.process_time() - start < 3

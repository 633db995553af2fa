"""What is said to be calm holds nothing that would be found."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentops.redaction.calm import calm
from agentops.redaction.redactor import Redactor

pytest.importorskip("presidio_analyzer", reason="needs presidio: pip install 'agentops-recorder[pii]'")

_SENSITIVE = (
    "4012 8888 8888 1881", "nora.quist@canary-mail.example", "DE89370400440532013000", "DE89 3704 0044 0532 0130 00",
    "+49 30 901820", "(212) 555-0187", "219-09-9999", "10.1.2.3", "fe80::1ff:fe23:4567:890a", "00:1b:44:11:3a:b7",
    "aa-bb-cc-dd-ee-ff", "password: hunter2x", "the password is Tr0ub4dor", "token=abcdefghijkl", "pwd='swordfish'",
    "secret -> kumquat", "\u0664\u0660\u0661\u0662 " + "\u0668\u0668\u0668\u0668 " * 2 + "\u0661\u0668\u0668\u0661",
    base64.b64encode(b"write to nora.quist@canary-mail.example").decode(), "postgres://me:hidden@db/x",
    "nora%40x.example", "4012%208888%208888%201881", "greta&#64;kunden.de", "greta&#x40;x.de", '{"m": "a\\u0040x.de"}',
    "a%2540x.de", "%22password%22%3A%20%22hunter2x%22", base64.b64encode(b"mail=nora%40x.example").decode(),
)  # fmt: skip
_REDACTOR = Redactor()
_LETTERS = st.sampled_from("abcPWD .,:;=@-_/'\"0123456789\n\u00e9\u0660\u2014")
_TEXTS = st.one_of(
    st.text(_LETTERS, max_size=60),
    st.tuples(st.text(_LETTERS, max_size=12), st.sampled_from(_SENSITIVE), st.text(_LETTERS, max_size=12)).map("".join),
)


@settings(max_examples=300, deadline=None)
@given(_TEXTS)
@example("api_key: a1b2c3d4e5f6g7h8")
def test_a_calm_text_holds_nothing_that_is_found(text: str) -> None:
    found = _REDACTOR.find(text)
    for data in (text.encode(), msgspec.msgpack.encode([text]), msgspec.msgpack.encode({"note": text, "n": 3})):
        assert not (found and calm(data)), (text, found)
        assert not (found and not _REDACTOR.may_hold(data)), (text, found)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["password", "passwords", "api_keys", "secret", "card", "ssn", "note"]),
        st.recursive(
            st.one_of(_TEXTS, st.sampled_from(["hunter2-Xq9z", "k3jH8sLq92mVxT0b"]), st.integers(-(2**63), 2**64 - 1)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(st.sampled_from(["value", "text", "note"]), inner, max_size=2),
            ),
            max_leaves=3,
        ),
        min_size=1,
    )
)
def test_a_calm_record_holds_nothing_that_is_taken_out(record: dict[str, object]) -> None:
    if not _REDACTOR.may_hold(msgspec.msgpack.encode(record)):
        assert _REDACTOR.value(record) == record


def test_ordinary_prose_is_calm() -> None:
    text = "Your flight HAT136 from JFK leaves on the 20th at 14:30 and costs $1,299.50, in economy: shall I book it?"
    assert calm(text.encode()) and calm(msgspec.msgpack.encode(text))

"""What a redactor is made of, and that it breaks no form."""

from __future__ import annotations

import json

import pytest

from agentops import Redactor, UsageError

pytest.importorskip("presidio_analyzer", reason="needs presidio: pip install 'agentops-recorder[pii]'")


def test_json_stays_json_where_a_number_is_taken_out() -> None:
    given = '{"card": 4012888888881881, "n": [1, "x"]}'
    assert json.loads(Redactor().text(given)) == {"card": "<CREDIT_CARD>", "n": [1, "x"]}


def test_an_operator_for_what_no_detector_finds_is_refused() -> None:
    with pytest.raises(UsageError, match="EMAIL, which no detector finds"):
        Redactor(operator={"EMAIL": "mask"})
    with pytest.raises(UsageError, match="no operator 'hide'"):
        Redactor(operator="hide")
    with pytest.raises(UsageError, match="no detector 'spam'"):
        Redactor("spam")


def test_hashes_are_those_of_the_key_and_of_a_key_file_given_as_text() -> None:
    key = "0f" * 32
    one, same, other = (
        Redactor(operator="hash", key=k).text("nora@example.com") for k in (key, bytes.fromhex(key), "x")
    )
    assert one == Redactor(operator="hash", key=key).text("Nora@example.com") != other
    assert one != same  # bytes are taken as they are

"""What outputs of tools and searches say, in the shapes that providers and frameworks give them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from agentops.analysis.judging import emptiness, said_error, worth_decoding
from agentops.analysis.stopping import finish, reasons

ERRORS: list[Any] = [
    {"content": [{"type": "text", "text": "Rate limit reached for key"}], "isError": True},
    {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": "no such order"},
    {"role": "tool", "tool_call_id": "c1", "content": "Error: permission denied for user"},
    [{"type": "text", "text": "Error executing tool get_weather: connection reset"}],
    {"status": "error", "message": "backend down"},
    {"success": False, "reason": "quota"},
    {"status_code": 503, "body": "<html>"},
    {"data": None, "errors": [{"message": "Cannot query field x"}]},
    {"stdout": "", "stderr": "ls: cannot access 'x': No such file or directory", "exit_code": 2},
    json.dumps({"result": None, "error": {"type": "NotFound", "detail": "x"}}),
    ["error", "no such file"],
    "500 Internal Server Error",
    "ToolException: could not reach host",
    "Failed to fetch the page: DNS",
    "Request timed out after 30 seconds",
    "curl: (6) Could not resolve host: x",
    "bash: foo: command not found",
    "Traceback (most recent call last):\n  File x\nValueError: bad",
    "Error: " + "x" * 3000,
]
NO_ERRORS: list[Any] = [
    {"error": None, "result": 3},
    {"errors": 0, "warnings": 2},
    {"errors": [], "data": {"a": 1}},
    {"order": "A-1", "status": "failed", "carrier": "x", "tries": 2},
    {"status": 200, "body": "ok"},
    {"success": True},
    {"exit_code": 0, "stderr": "warning: x"},
    "Error handling in Python is done with exceptions.",
    "Failed login attempts lock an account for an hour.",
    "The import failed on Monday; it works now.",
    "404 pages",
    [{"text": "the error was found", "score": 0.3}],
    "",
    None,
    [],
    12,
]
EMPTY: list[Any] = [
    [],
    {},
    "",
    None,
    "[]",
    [[]],
    {"documents": [[]], "ids": [[]], "distances": [[]]},
    {"results": [], "query": "x", "took_ms": 12},
    {"hits": {"total": {"value": 0}, "hits": []}},
    {"answer": "", "sources": []},
    {"total_count": 0, "page": 1, "items": []},
    {"chunks": None},
    {"found": False},
    [{"type": "tool_result", "tool_use_id": "x", "content": []}],
    {"role": "tool", "content": "[]"},
    "No results.",
    "Found 0 documents for query 'x'",
    "Sorry, no relevant documents were found in the knowledge base.",
    "I could not find anything about it.",
    "Empty DataFrame\nColumns: []\nIndex: []",
]
NOT_EMPTY: list[Any] = [
    ["doc"],
    {"documents": [["a"]]},
    {"results": [{"id": 1}], "errors": []},
    {"total": 3, "items": [1, 2, 3]},
    {"count": 0.5},
    {"id": 0},
    0,
    False,
    "No. 5 is a perfume.",
    "None of the rooms has a balcony, but two have a view of the sea.",
    {"answer": "Two years.", "sources": ["terms"]},
]


@pytest.mark.parametrize("value", ERRORS, ids=repr)
def test_an_error_that_is_handed_back_is_one(value: Any) -> None:
    assert said_error(value)
    assert worth_decoding([b"", msgspec.msgpack.encode(value)]) == [1]


@pytest.mark.parametrize("value", NO_ERRORS, ids=repr)
def test_what_only_speaks_of_errors_is_none(value: Any) -> None:
    assert said_error(value) is None


@pytest.mark.parametrize("value", EMPTY, ids=repr)
def test_nothing_found_has_many_forms(value: Any) -> None:
    assert emptiness(value)
    assert worth_decoding([b"\x01", msgspec.msgpack.encode(value)]) == [1]


@pytest.mark.parametrize("value", NOT_EMPTY, ids=repr)
def test_something_found_is_not_nothing(value: Any) -> None:
    assert emptiness(value) is None


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"gen_ai.response.finish_reasons": ["refusal"]}, "refused"),
        ({"gen_ai.response.finish_reasons": '["content_filter"]'}, "refused"),
        ({"llm.finish_reason": "length"}, "cut off"),
        ({"choices": [{"finish_reason": "stop", "message": {"refusal": "I can't."}}]}, "refused"),
        ({"candidates": [{"finishReason": "SAFETY"}]}, "refused"),
        ({"candidates": [{"finishReason": "FinishReason.MAX_TOKENS"}]}, "cut off"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "cut off"),
        ({"stop_reason": "model_context_window_exceeded"}, "context full"),
        ({"stop_reason": "tool_use"}, None),
        ({"choices": [{"finish_reason": "stop", "message": {"refusal": None}}]}, None),
        ({"gen_ai.request.max_tokens": 10}, None),
    ],
)
def test_why_a_model_stopped(value: Any, word: str | None) -> None:
    assert finish(reasons(value)) == word

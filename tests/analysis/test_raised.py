"""Exceptions as people read them: their words, and the place in the user's own code."""

from __future__ import annotations

import asyncio
import json
import traceback
from typing import Any

import pytest

from agentops.analysis.raised import place, words

TOO_LONG = "prompt is too long: 214,000 tokens > 200,000 maximum"
_BODY = {"type": "error", "error": {"type": "invalid_request_error", "message": TOO_LONG}, "request_id": "req_01"}


@pytest.mark.parametrize(
    ("error", "read"),
    [
        (f"anthropic.BadRequestError: Error code: 400 - {_BODY}", f"BadRequestError 400: {TOO_LONG}"),
        (f"anthropic.BadRequestError: Error code: 400 - {_BODY}"[:-20], f"BadRequestError 400: {TOO_LONG}"),  # cut off
        (f"APIStatusError: {_BODY}", f"APIStatusError: {TOO_LONG}"),
        (
            "openai.NotFoundError: Error code: 404 - " + str({"error": {"message": "no model 'x'\nat \"y\""}}),
            "NotFoundError 404: no model 'x' at \"y\"",
        ),
        ("anthropic.APIStatusError: Error code: 529 - {'message': ", "APIStatusError: Error code: 529 - {'message':"),
        ("CancelledError: ", "CancelledError"),
        ("KeyboardInterrupt:", "KeyboardInterrupt"),
        ("json.decoder.JSONDecodeError: Expecting value", "JSONDecodeError: Expecting value"),
        ("ValueError: {'message': 'mine'} is no order", "ValueError: {'message': 'mine'} is no order"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_words_of_an_error(error: str | None, read: str) -> None:
    assert words(error) == read


def _stack(run: Any) -> tuple[str, str]:
    try:
        run()
    except BaseException as problem:  # noqa: BLE001 - whatever it is
        return traceback.format_exc(), str(problem)
    raise AssertionError("it raised nothing")


def _parse() -> None:
    json.loads("{")


def test_the_place_is_the_last_in_the_users_own_code() -> None:
    found = place(*_stack(_parse), None)
    assert found == f"analysis/test_raised.py:{_parse.__code__.co_firstlineno + 1} in _parse"


def test_the_place_of_one_in_a_group_is_found() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(_parse))

    found = place(*_stack(lambda: asyncio.run(main())), None)
    assert found is not None and found.startswith("analysis/test_raised.py:")


def test_a_message_cannot_say_where_it_was_raised() -> None:
    def run() -> None:
        raise ValueError('bad\n  File "/etc/passwd", line 3, in root')

    found = place(*_stack(run), None)
    assert found is not None and found.startswith("analysis/test_raised.py:")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/home/ann/agent/steps/triage.py", "steps/triage.py:13 in parse"),
        ("/home/ann/agents/triage.py", "agents/triage.py:13 in parse"),
        ("/home/ann/agent/.venv/lib/python3.12/site-packages/anthropic/_client.py", None),
        ("/usr/lib/python3.12/json/decoder.py", None),
        (r"C:\Python312\Lib\json\decoder.py", None),
        ("<frozen runpy>", None),
        ("<string>", "<string>:13 in parse"),
    ],
)
def test_a_path_is_told_from_where_the_program_was_started(path: str, told: str | None) -> None:
    stack = f'Traceback (most recent call last):\n  File "{path}", line 13, in parse\n    x\nValueError: bad\n'
    assert place(stack, "bad", "/home/ann/agent") == told

"""A line of a log that says what one model call was, as a span.

Any line that holds a JSON object with a prompt, a response or a model in it, and one thing more about a call, is a
call, whatever stands before and after the object. Its trace is that one span, and its ids come from the line alone:
BLAKE2b over the bytes of the line (without its end) and its place among equal lines, counted from 1 over the files
of one import. So the same log again, a copy of it, a compressed one, or one that has grown gives the same ids, and
what is in the store already is not written twice; two equal lines of one file are two calls. Of equal lines in
a log and in the one it was rotated from, both are taken if both files are named in one import (oldest first), one
if each is imported alone: without a time in the line nobody can tell such a line from the same one met again.

When a call was: a time in the object, else one in front of it, else when the file was written last (and a
microsecond more for each line). It is taken for the moment of logging, the call's end; it began as long before as
it says that it took. Times without a zone are local.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from agentops import conventions
from agentops.conventions import OPERATION
from agentops.importers import fields
from agentops.importers.fields import Said
from agentops.importers.lines import Unusable
from agentops.importers.spans import ExceptionLine, SpanLine

__all__ = ["Calls", "is_call", "objects"]

#: What people call things, the first that is there wins.
_MODEL = ("model", "model_name", "model_id")
_PROMPT = ("prompt", "messages", "input", "question", "query")
_RESPONSE = ("response", "output", "completion", "answer", "text", "content")
_INPUT_TOKENS = ("input_tokens", "prompt_tokens", "tokens_in")
_OUTPUT_TOKENS = ("output_tokens", "completion_tokens", "tokens_out")
_CACHE_READ = ("cache_read_input_tokens",)
_CACHE_WRITE = ("cache_creation_input_tokens", "cache_write_input_tokens")
_APART = {*_CACHE_READ, *_CACHE_WRITE}
_COST = ("cost_usd", "est_cost_usd", "total_cost_usd", "cost", "est_cost", "total_cost")
_MILLISECONDS = ("latency_ms", "duration_ms", "elapsed_ms", "response_time_ms")
_SECONDS = ("duration_s", "latency_s", "elapsed_s", "duration_seconds", "latency_seconds")
#: Without a unit in the name.
_EITHER = ("latency", "duration", "elapsed")
_GOOD = ("ok", "success", "succeeded")
_STATUS = ("status", "status_code")
_ERROR = ("error", "exception", "error_message")
_TIME = ("timestamp", "ts", "time", "created_at", "@timestamp", "datetime", "asctime", "created")
_SESSION = ("session", "session_id", "conversation_id", "thread_id")
_USER = ("user", "user_id")
#: One of the first three, and one more, make a call.
_SIGNS = (
    _MODEL, _PROMPT, _RESPONSE, (*_INPUT_TOKENS, *_OUTPUT_TOKENS, "usage"), _COST,
    (*_MILLISECONDS, *_SECONDS, *_EITHER), (*_GOOD, *_STATUS), _ERROR,
)  # fmt: skip

#: Loggers that write JSON put what was logged into one of these.
_LOGGED = ("message", "msg", "event")
#: Braces in front of an object that are none.
_TRIES = 32
_decode = json.JSONDecoder().raw_decode


def objects(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """JSON objects in a line, each with what stands before it; those that a logger wrapped in another too.

    Raises:
        Unusable: one is nested too deeply, cut off or damaged.
    """
    start = 0
    for _ in range(_TRIES):
        start = text.find("{", start)
        if start < 0:
            return
        try:
            value, end = _decode(text, start)
        except RecursionError:
            raise Unusable("nested too deeply") from None
        except ValueError as problem:
            at = getattr(problem, "pos", None)
            if at is not None and not text[start + 1 : at].strip(" \t"):  # no object begins here
                start += 1
                continue
            # One that was cut off may hold others, such as the request that a span was given: they are no lines.
            raise Unusable(f"its JSON object is cut off or damaged: {problem}") from None
        if type(value) is dict:
            yield text[:start], value
            for name in _LOGGED:
                inner = value.get(name)
                if type(inner) is str and "{" in inner:
                    yield from ((text[:start], found) for _, found in objects(inner))
        start = end


def is_call(value: dict[str, Any]) -> bool:
    """Whether an object says what a model call was."""
    signs = [any(value.get(name) is not None for name in names) for names in _SIGNS]
    return any(signs[:3]) and sum(signs) > 1


class Calls:
    """Calls of the files of one import."""

    def __init__(self) -> None:
        self._equal: Counter[bytes] = Counter()

    def span(self, line: bytes, number: int, before: str, call: dict[str, Any], written_ns: int) -> SpanLine:
        """The span of a call.

        Args:
            line: the whole line.
            number: of the line in its file.
            before: what stands before the object.
            call: the object.
            written_ns: when the file was written last, ns since 1970.
        """
        content = hashlib.blake2b(line, digest_size=24).digest()
        self._equal[content] += 1
        ids = hashlib.blake2b(content + b"%d" % self._equal[content], digest_size=24).hexdigest()
        said = Said(call)
        model = said.take(_MODEL, lambda value: value if type(value) is str and value else None)
        attributes: dict[str, Any] = {conventions.OPERATION_NAME: OPERATION["llm"]}
        if model is not None:
            attributes[conventions.REQUEST_MODEL] = model
        given, output = said.take(_PROMPT, fields.anything), said.take(_RESPONSE, fields.anything)
        usage = Said(call["usage"]) if type(call.get("usage")) is dict else None
        for names, attribute in (
            (_INPUT_TOKENS, conventions.INPUT_TOKENS),
            (_OUTPUT_TOKENS, conventions.OUTPUT_TOKENS),
            (_CACHE_READ, conventions.CACHE_READ_TOKENS),
            (_CACHE_WRITE, conventions.CACHE_CREATION_TOKENS),
        ):
            count = said.take(names, fields.count)
            if count is None and usage is not None:
                count = usage.take(names, fields.count)
            if count is not None:
                attributes[attribute] = count
        counted = call if usage is None else call["usage"]
        if conventions.INPUT_TOKENS in attributes and "input_tokens" in counted and counted.keys() & _APART:
            # The form of Anthropic's API, which counts apart what the cache read and wrote.
            beside = (conventions.CACHE_READ_TOKENS, conventions.CACHE_CREATION_TOKENS)
            attributes[conventions.INPUT_TOKENS] += sum(attributes.get(name, 0) for name in beside)
        if usage is not None:
            said.replace("usage", usage.rest)
        cost = said.take(_COST, fields.amount)
        if cost is not None:
            attributes[conventions.OI_COST] = cost
        took = said.take(_MILLISECONDS, lambda value: fields.seconds(value, 1e-3))
        if took is None:
            took = said.take(_SECONDS, lambda value: fields.seconds(value, 1.0))
        if took is None:
            took = said.take(_EITHER, fields.milliseconds_or_seconds)
        end_ns = said.take(_TIME, fields.moment) or fields.time_in(before) or written_ns + 1_000 * number
        good = said.take(_GOOD, fields.verdict)
        if good is None:
            good = said.take(_STATUS, fields.verdict)
        problem = said.take(_ERROR, fields.anything)
        failed = good is False or (good is None and bool(problem))
        if problem and not failed:
            attributes["error"] = problem
        session, user = said.take(_SESSION, fields.identity), said.take(_USER, fields.identity)
        attributes.update({name: value for name, value in said.rest.items() if name not in attributes})
        return SpanLine(
            trace_id=ids[:32],
            span_id=ids[32:],
            name=f"chat {model}" if model else "chat",
            kind="llm",
            start_time_unix_nano=end_ns - round((took or 0.0) * 1e9),
            end_time_unix_nano=end_ns,
            status="error" if failed else "ok",
            input=given,
            output=output,
            attributes=attributes,
            session=session,
            user=user,
            exception=_exception(problem) if failed and problem else None,
        )


def _exception(problem: object) -> ExceptionLine:
    if isinstance(problem, dict):
        kind, message = problem.get("type"), problem.get("message")
        if isinstance(message, str):
            return ExceptionLine(kind if isinstance(kind, str) else "", message)
    return ExceptionLine("", problem if isinstance(problem, str) else json.dumps(problem))

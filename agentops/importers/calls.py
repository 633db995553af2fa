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

import datetime
import decimal
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from agentops import conventions
from agentops.conventions import OPERATION, token_count
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
_COST = ("cost_usd", "est_cost_usd", "total_cost_usd", "cost", "est_cost", "total_cost")
_MILLISECONDS = ("latency_ms", "duration_ms", "elapsed_ms", "response_time_ms")
_SECONDS = ("duration_s", "latency_s", "elapsed_s", "duration_seconds", "latency_seconds")
#: A whole number is milliseconds; so is one of 100 or more: few calls take as many seconds.
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
_GOOD_WORDS = ("ok", "success", "succeeded", "successful", "completed", "complete", "done", "true", "200")
_BAD_WORDS = ("error", "failed", "failure", "fail", "exception", "timeout", "cancelled", "false")

#: Loggers that write JSON put what was logged into one of these.
_LOGGED = ("message", "msg", "event")
#: Braces in front of an object that are none.
_TRIES = 32
_PREFIX_CHARACTERS = 400
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?Z| ?[+-]\d\d:?\d\d)?")
_NS_MAX = 2**63 - 1
_LATENCY_MAX_S = 30 * 86400
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
        said = _Said(call)
        model = said.take(_MODEL, lambda value: value if type(value) is str and value else None)
        attributes: dict[str, Any] = {conventions.OPERATION_NAME: OPERATION["llm"]}
        if model is not None:
            attributes[conventions.REQUEST_MODEL] = model
        given, output = said.take(_PROMPT, _anything), said.take(_RESPONSE, _anything)
        usage = _Said(call["usage"]) if type(call.get("usage")) is dict else None
        for names, attribute in (
            (_INPUT_TOKENS, conventions.INPUT_TOKENS),
            (_OUTPUT_TOKENS, conventions.OUTPUT_TOKENS),
            (_CACHE_READ, conventions.CACHE_READ_TOKENS),
            (_CACHE_WRITE, conventions.CACHE_CREATION_TOKENS),
        ):
            count = said.take(names, _count)
            if count is None and usage is not None:
                count = usage.take(names, _count)
            if count is not None:
                attributes[attribute] = count
        if usage is not None:
            said.replace("usage", usage.rest)
        cost = said.take(_COST, _amount)
        if cost is not None:
            attributes[conventions.OI_COST] = cost
        took = said.take(_MILLISECONDS, lambda value: _seconds(value, 1e-3))
        if took is None:
            took = said.take(_SECONDS, lambda value: _seconds(value, 1.0))
        if took is None:
            took = said.take(_EITHER, _milliseconds_or_seconds)
        end_ns = said.take(_TIME, _moment) or _time_in(before) or written_ns + 1_000 * number
        good = said.take(_GOOD, _verdict)
        if good is None:
            good = said.take(_STATUS, _verdict)
        problem = said.take(_ERROR, _anything)
        failed = good is False or (good is None and bool(problem))
        if problem and not failed:
            attributes["error"] = problem
        session, user = said.take(_SESSION, _identity), said.take(_USER, _identity)
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


class _Said:
    """The fields of an object, and those that nobody has taken yet: they are kept as attributes."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self.rest = dict(fields)

    def take(self, names: tuple[str, ...], read: Any) -> Any:
        """What the first of `names` says that `read` can make something of; None if none does."""
        for name in names:
            if name in self._fields and (value := read(self._fields[name])) is not None:
                self.rest.pop(name, None)
                return value
        return None

    def replace(self, name: str, rest: dict[str, Any]) -> None:
        del self.rest[name]
        if rest:
            self.rest[name] = rest


def _anything(value: object) -> object:
    return value


def _count(value: object) -> int | None:
    count = token_count({"": value}, "")
    return count if count is not None and 0 <= count <= _NS_MAX else None


def _amount(value: object) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value.strip().removeprefix("$"))
        except ValueError:
            return None
    return conventions.cost_usd({conventions.OI_COST: value})


def _seconds(value: object, unit: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value * unit if 0 <= value <= _LATENCY_MAX_S / unit else None


def _milliseconds_or_seconds(value: object) -> float | None:
    return _seconds(value, 1.0 if isinstance(value, float) and value < 100 else 1e-3)


def _verdict(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return None if not 0 <= value < 600 else value < 400 if value > 1 else bool(value)
    word = value.strip().lower() if isinstance(value, str) else ""
    return True if word in _GOOD_WORDS else False if word in _BAD_WORDS else None


def _identity(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def _exception(problem: object) -> ExceptionLine:
    if isinstance(problem, dict):
        kind, message = problem.get("type"), problem.get("message")
        if isinstance(message, str):
            return ExceptionLine(kind if isinstance(kind, str) else "", message)
    return ExceptionLine("", problem if isinstance(problem, str) else json.dumps(problem))


def _moment(value: object) -> int | None:
    """A time as ns since 1970: a number of s, ms, µs or ns since then, or ISO 8601."""
    if isinstance(value, str):
        found = _time_in(value)
        if found is not None:
            return found
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    for least, unit in ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000), (1e8, 1_000_000_000)):
        if value >= least:
            found = int(decimal.Decimal(repr(value)) * unit)
            return found if found <= _NS_MAX else None
    return None


def _time_in(text: str) -> int | None:
    match = _DATE.search(text[:_PREFIX_CHARACTERS])
    if match is None:
        return None
    whole, _, fraction = match.group().replace(" ", "T", 1).replace(",", ".").replace(" ", "").partition(".")
    zone = re.search(r"Z$|[+-]\d\d:?\d\d$", fraction)
    digits = fraction[: zone.start()] if zone else fraction
    try:
        then = datetime.datetime.fromisoformat(whole + (zone.group() if zone else ""))
        seconds = then.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    found = int(seconds) * 1_000_000_000 + int(digits.ljust(9, "0") or 0)
    return found if 0 <= found <= _NS_MAX else None

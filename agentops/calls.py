"""A call of a model and its answer, whichever API they are of: what is recorded of them, under the conventions' names.

Known are OpenAI's chat completions, completions, responses and embeddings, Anthropic's messages, Ollama's own answers,
the events of OpenAI's and Anthropic's streams, and plain dicts that have some of their fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentops import conventions as c

__all__ = ["FINISH_REASONS", "PARAMETERS", "Answer", "Pieces", "answer_of", "asked_of", "usage_facts"]

#: OpenTelemetry's words for why a model stopped; what is not here stays as it is.
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_use": "tool_call",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
}
#: Parameters of a request that the conventions have a name for.
PARAMETERS = {
    "model": c.REQUEST_MODEL,
    "system": c.SYSTEM_INSTRUCTIONS,
    "instructions": c.SYSTEM_INSTRUCTIONS,
    "tools": c.TOOL_DEFINITIONS,
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "n": "gen_ai.request.choice.count",
    "seed": "gen_ai.request.seed",
    "stop": "gen_ai.request.stop_sequences",
    "stop_sequences": "gen_ai.request.stop_sequences",
    "stream": "gen_ai.request.stream",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "reasoning_effort": "gen_ai.request.reasoning.level",
    "previous_response_id": "gen_ai.request.previous_response.id",
    "service_tier": "openai.request.service_tier",
    "encoding_format": "gen_ai.request.encoding_formats",
    "dimensions": "gen_ai.embeddings.dimension.count",
}
_FINGERPRINT, _TIER = "openai.response.system_fingerprint", "openai.response.service_tier"
_AUDIO_IN, _AUDIO_OUT = "gen_ai.usage.audio.input_tokens", "gen_ai.usage.audio.output_tokens"
#: Where a usage says a number, and what that is called; the first that is there counts.
_USAGE = (
    (("prompt_tokens",), c.INPUT_TOKENS),
    (("input_tokens",), c.INPUT_TOKENS),
    (("completion_tokens",), c.OUTPUT_TOKENS),
    (("output_tokens",), c.OUTPUT_TOKENS),
    (("prompt_tokens_details", "cached_tokens"), c.CACHE_READ_TOKENS),
    (("input_tokens_details", "cached_tokens"), c.CACHE_READ_TOKENS),
    (("prompt_cache_hit_tokens",), c.CACHE_READ_TOKENS),  # DeepSeek's
    (("cache_read_input_tokens",), c.CACHE_READ_TOKENS),
    (("prompt_tokens_details", "cache_write_tokens"), c.CACHE_WRITE_TOKENS),
    (("input_tokens_details", "cache_write_tokens"), c.CACHE_WRITE_TOKENS),
    (("cache_creation_input_tokens",), c.CACHE_WRITE_TOKENS),
    (("completion_tokens_details", "reasoning_tokens"), c.REASONING_TOKENS),
    (("output_tokens_details", "reasoning_tokens"), c.REASONING_TOKENS),
    (("output_tokens_details", "thinking_tokens"), c.REASONING_TOKENS),
    (("prompt_tokens_details", "audio_tokens"), _AUDIO_IN),
    (("completion_tokens_details", "audio_tokens"), _AUDIO_OUT),
    (("cache_creation", "ephemeral_5m_input_tokens"), "anthropic.usage.cache_creation.ephemeral_5m_input_tokens"),
    (("cache_creation", "ephemeral_1h_input_tokens"), "anthropic.usage.cache_creation.ephemeral_1h_input_tokens"),
    (("server_tool_use", "web_search_requests"), "anthropic.usage.server_tool_use.web_search_requests"),
)
_ANTHROPICS = ("cache_read_input_tokens", "cache_creation_input_tokens")
#: Of the events of a stream, what is not the answer's own.
_NOT_SAID = ("choices", "object")
_RESPONSE_ENDS = ("response.completed", "response.failed", "response.incomplete")


class Answer:
    """What came back of a call.

    Attributes:
        output: what the model said: a message, choices, items, blocks, or the whole value where it is none of these.
        facts: attributes, by the conventions' names.
        error: what the API said went wrong, in an answer that came with success; None for nothing.
    """

    def __init__(self, output: Any, facts: dict[str, Any], error: Mapping[str, Any] | None = None) -> None:
        self.output = output
        self.facts = facts
        self.error = error


def asked_of(body: Mapping[str, Any], rest: str | None = None) -> dict[str, Any]:
    """Attributes for the parameters of a request; what was asked itself is left out.

    Args:
        body: parameters by their names.
        rest: what stands in front of the names of those that the conventions have no name for; None leaves them out.
    """
    facts: dict[str, Any] = {}
    for key, value in body.items():
        if value is None or key in ("messages", "input", "prompt"):
            continue
        name = PARAMETERS.get(key)
        if name is not None:
            facts[name] = [value] if key in ("stop", "encoding_format") and isinstance(value, str) else value
        elif rest is not None:
            facts[rest + key] = value
    reasoning = body.get("reasoning")
    if isinstance(reasoning, Mapping) and isinstance(reasoning.get("effort"), str):
        facts["gen_ai.request.reasoning.level"] = reasoning["effort"]
    return facts


def answer_of(value: Mapping[str, Any]) -> Answer:
    """What an API's answer, whole and as plain data, says."""
    choices, content = value.get("choices"), value.get("content")
    reasons: list[Any] = []
    output: Any = value
    if isinstance(choices, list) and choices and all(isinstance(choice, Mapping) for choice in choices):
        reasons = [choice.get("finish_reason") for choice in choices]
        output = _of_choices(choices)
    elif value.get("object") == "response" and isinstance(value.get("output"), list):
        output, reasons = value["output"], [_reason_of_response(value)]
    elif value.get("type") == "message" and isinstance(content, list):
        output = content
    elif isinstance(value.get("data"), list) and value.get("object") == "list":
        output = None  # vectors are not what anybody reads
    elif isinstance(value.get("message"), Mapping) and "model" in value:
        output, reasons = value["message"], [value.get("done_reason")]
    facts = _identity(value)
    reasons = [reason for reason in reasons if isinstance(reason, str)]
    if not reasons:
        reasons = [said for key in ("stop_reason", "finish_reason") if isinstance(said := value.get(key), str)][:1]
    if reasons:
        facts[c.FINISH_REASONS] = [FINISH_REASONS.get(reason, reason) for reason in reasons]
    facts.update(usage_facts(_usage_in(value)))
    error = value.get("error")
    return Answer(output, facts, error if isinstance(error, Mapping) else None)


def usage_facts(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes for a `usage`, of OpenAI's or Anthropic's form; totals include what the cache read and wrote."""
    facts: dict[str, Any] = {}
    for (first, *inner), name in _USAGE:
        if first not in usage:
            continue
        value: Any = usage[first]
        if inner:
            value = value.get(inner[0]) if isinstance(value, Mapping) else None
        if type(value) is int and value >= 0:
            facts.setdefault(name, value)
    if c.INPUT_TOKENS in facts and any(key in usage for key in _ANTHROPICS):
        facts[c.INPUT_TOKENS] += facts.get(c.CACHE_READ_TOKENS, 0) + facts.get(c.CACHE_WRITE_TOKENS, 0)
    for key in ("service_tier", "speed"):  # Anthropic's prices hang on these
        if isinstance(usage.get(key), str):
            facts["anthropic.usage." + key] = usage[key]
    return facts


def _usage_in(value: Mapping[str, Any]) -> Mapping[str, Any]:
    usage = value.get("usage")
    if isinstance(usage, Mapping):
        return usage
    if "prompt_eval_count" in value or "eval_count" in value:  # Ollama's own API
        return {"input_tokens": value.get("prompt_eval_count"), "output_tokens": value.get("eval_count")}
    return {}


def _identity(value: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        ("id", c.RESPONSE_ID), ("model", c.RESPONSE_MODEL), ("system_fingerprint", _FINGERPRINT),
        ("service_tier", _TIER),
    )  # fmt: skip
    return {name: value[key] for key, name in names if isinstance(value.get(key), str) and value[key]}


def _of_choices(choices: list[Any]) -> Any:
    """The message, where there is one; else the choices."""
    if len(choices) > 1:
        return {"choices": choices}
    message = choices[0].get("message")
    if isinstance(message, Mapping):
        return {key: said for key, said in message.items() if said is not None or key == "content"}
    return choices[0].get("text", choices[0])


def _reason_of_response(value: Mapping[str, Any]) -> str | None:
    details = value.get("incomplete_details")
    if isinstance(details, Mapping) and isinstance(details.get("reason"), str):
        return str(details["reason"])
    if value.get("status") != "completed":
        return None
    calls = any(isinstance(item, Mapping) and item.get("type") == "function_call" for item in value["output"])
    return "function_call" if calls else "completed"


class Pieces:
    """Puts an answer together from the events of a stream, as they come.

    Attributes:
        complete: the model has said why it stopped, or that the answer is whole.
        error: what the API said went wrong in the middle of it.
    """

    def __init__(self) -> None:
        self.complete = False
        self.error: Mapping[str, Any] | None = None
        self._whole: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._parts: dict[int, dict[str, Any]] = {}  # Anthropic's blocks, items of a response
        self._response: Mapping[str, Any] | None = None
        self._is_message = False

    @property
    def empty(self) -> bool:
        """Nothing came that is understood."""
        return not (self._whole or self._choices or self._parts or self._response)

    def add(self, event: Any) -> list[dict[str, Any]]:
        """One event more; gives what it adds to the answer: `index`, `type` and `text` of each piece."""
        if not isinstance(event, Mapping):
            return []
        kind = event.get("type")
        if isinstance(event.get("error"), Mapping):
            self.error = event["error"]
        elif kind == "error":
            self.error = event
        if isinstance(event.get("choices"), list):
            return self._chunk(event)
        if isinstance(kind, str) and kind.startswith("response."):
            return self._of_response(kind, event)
        return self._of_message(kind, event)

    def answer(self) -> Answer:
        """The answer, as far as it came."""
        if self._response is not None:
            found = answer_of({**self._response, "output": self._response.get("output") or self._items()})
        elif self._is_message:
            found = answer_of({**self._whole, "type": "message", "content": self._items()})
        else:
            choices = [{"index": index, **_without_places(self._choices[index])} for index in sorted(self._choices)]
            found = answer_of({**self._whole, "choices": choices})
            if not choices:
                found.output = None
        found.error = self.error or found.error
        return found

    def _items(self) -> list[dict[str, Any]]:
        return [self._parts[index] for index in sorted(self._parts)]

    def _chunk(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        choices = event["choices"]
        if len(choices) == 1 and self._adds_text(event, choices[0], told):
            return told
        self._whole.update(pair for pair in event.items() if pair[0] not in _NOT_SAID and pair[1] is not None)
        for given in choices:
            if not isinstance(given, Mapping) or type(index := given.get("index", 0)) is not int:
                continue
            choice = self._choices.setdefault(index, {})
            delta = given.get("delta")
            if isinstance(delta, Mapping):
                _merge(choice.setdefault("message", {}), delta)
                told += _told(index, delta)
            elif isinstance(given.get("text"), str):
                choice["text"] = choice.get("text", "") + given["text"]
                told.append({"index": index, "type": "text_delta", "text": given["text"]})
            if given.get("logprobs") is not None:
                _merge(choice, {"logprobs": given["logprobs"]})
            if isinstance(given.get("finish_reason"), str):
                choice["finish_reason"] = given["finish_reason"]
                self.complete = True
        return told

    def _adds_text(self, event: Mapping[str, Any], given: Any, told: list[dict[str, Any]]) -> bool:
        """Whether an event adds some text and says nothing else that is new: by far most do."""
        if not isinstance(given, Mapping) or given.get("finish_reason") or given.get("logprobs") or event.get("usage"):
            return False
        index, delta = given.get("index"), given.get("delta")
        message = self._choices[index].get("message") if type(index) is int and index in self._choices else None
        if message is None or not isinstance(delta, Mapping) or len(delta) != 1:
            return False
        said, known = delta.get("content"), message.get("content")
        if type(said) is not str or type(known) is not str:
            return False
        message["content"] = known + said
        told.append({"index": index, "type": "content_delta", "text": said})
        return True

    def _of_response(self, kind: str, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        index = event.get("output_index")
        if isinstance(event.get("response"), Mapping):
            self._response = event["response"]
            self.complete = self.complete or kind in _RESPONSE_ENDS
        elif type(index) is int and isinstance(event.get("item"), Mapping):
            self._parts[index] = dict(event["item"])
        elif type(index) is int and isinstance(said := event.get("delta"), str):
            item = self._parts.setdefault(index, {})
            if kind == "response.function_call_arguments.delta":
                item["arguments"] = (item.get("arguments") or "") + said
            elif kind == "response.output_text.delta":
                if not item.get("content"):
                    item["content"] = [{"type": "output_text", "text": ""}]
                item["content"] = [*item["content"][:-1], {**item["content"][-1]}]
                item["content"][-1]["text"] = item["content"][-1].get("text", "") + said
            return [{"index": index, "type": kind.removeprefix("response."), "text": said}]
        return []

    def _of_message(self, kind: Any, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        # https://docs.anthropic.com/en/docs/build-with-claude/streaming
        index, delta = event.get("index"), event.get("delta")
        if kind == "message_start" and isinstance(event.get("message"), Mapping):
            self._is_message, self._whole = True, dict(event["message"])
        elif kind == "content_block_start" and type(index) is int and isinstance(event.get("content_block"), Mapping):
            self._parts[index] = dict(event["content_block"])
        elif kind == "content_block_delta" and type(index) is int and isinstance(delta, Mapping):
            block = self._parts.setdefault(index, {})
            for key, name in (("text", "text"), ("thinking", "thinking"), ("partial_json", "input")):
                if isinstance(said := delta.get(key), str):
                    block[name] = (block[name] if isinstance(block.get(name), str) else "") + said
                    return [{"index": index, "type": delta.get("type"), "text": said}]
            if isinstance(delta.get("signature"), str):
                block["signature"] = delta["signature"]
        elif kind == "content_block_stop" and type(index) is int:
            block = self._parts.get(index, {})
            if isinstance(block.get("input"), str):
                block["input"] = _json(block["input"])
        elif kind == "message_delta":
            if isinstance(delta, Mapping):
                self._whole.update({key: said for key, said in delta.items() if said is not None})
            if isinstance(usage := event.get("usage"), Mapping):  # cumulative, not to be added
                known = self._whole.get("usage")
                kept = {key: said for key, said in usage.items() if said is not None}
                self._whole["usage"] = {**(known if isinstance(known, Mapping) else {}), **kept}
        elif kind == "message_stop":
            self.complete = True
        return []


def _without_places(choice: dict[str, Any]) -> dict[str, Any]:
    """As a whole answer has it: there the calls of tools have no `index`."""
    message = choice.get("message")
    if not isinstance(message, dict) or not isinstance(calls := message.get("tool_calls"), list):
        return choice
    plain = [{k: v for k, v in call.items() if k != "index"} if isinstance(call, dict) else call for call in calls]
    return {**choice, "message": {**message, "tool_calls": plain}}


def _told(index: int, delta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a delta says, text for text."""
    told = [
        {"index": index, "type": f"{key}_delta", "text": said}
        for key in ("content", "reasoning_content", "reasoning", "refusal")
        if isinstance(said := delta.get(key), str) and said
    ]
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        said = function.get("arguments") if isinstance(function, Mapping) else None
        if isinstance(said, str) and said:
            told.append({"index": index, "type": "tool_calls_delta", "text": said})
    return told


def _merge(into: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add what one event says to what is known, as OpenAI's client does: texts grow, lists go by their `index`."""
    for key, value in delta.items():
        known = into.get(key)
        if value is None or known is None or key in ("role", "type", "id", "index"):
            if value is not None or key not in into:
                into[key] = _fresh(value)
        elif isinstance(value, str) and isinstance(known, str):
            into[key] = known if key == "name" and known == value else known + value
        elif isinstance(value, Mapping) and isinstance(known, dict):
            _merge(known, value)
        elif isinstance(value, list) and isinstance(known, list):
            _extend(known, value)
        else:
            into[key] = value


def _fresh(value: Any) -> Any:
    if isinstance(value, Mapping):
        made: dict[str, Any] = {}
        _merge(made, value)
        return made
    if isinstance(value, list):
        found: list[Any] = []
        _extend(found, value)
        return found
    return value


def _extend(known: list[Any], value: list[Any]) -> None:
    for item in value:
        index = item.get("index") if isinstance(item, Mapping) else None
        same = next((one for one in known if isinstance(one, dict) and one.get("index") == index), None)
        if index is not None and same is not None:
            _merge(same, item)
        else:
            known.append(_fresh(item))


def _json(text: str) -> Any:
    import json

    try:
        return json.loads(text) if text else {}
    except ValueError:  # cut off: what came of it, as text
        return text

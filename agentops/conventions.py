"""Names on the wire: OpenTelemetry's GenAI conventions first, OpenInference's kind beside them.

The GenAI conventions left the core package (semantic-conventions-genai, v0.1.0 of 2026) and no Python
package is generated from them, so the names that we use stand here and nowhere else.
Source: https://github.com/open-telemetry/semantic-conventions-genai and
https://github.com/Arize-ai/openinference/tree/main/spec.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Kind = Literal[
    "agent",
    "plan",
    "llm",
    "tool",
    "retrieval",
    "embedding",
    "rerank",
    "loop",
    "chain",
    "guardrail",
    "eval",
]

#: In whose names what we send stands: OpenTelemetry's GenAI conventions, OpenInference's, or each fact in those that
#: the backends read it from.
Dialect = Literal["both", "genai", "openinference"]

#: Kinds in the order of their numbers in journal and store; only ever append.
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
KIND_NUMBER: Final[dict[str, int]] = {kind: n for n, kind in enumerate(KINDS)}
DEFAULT_KIND: Final[Kind] = "chain"

#: Facts that a trace is found and grouped by: redacted at once, and so that what differed still differs.
IDENTIFIERS: Final = frozenset(
    ("session", "user", "tags", "session.id", "user.id", "tag.tags", "gen_ai.conversation.id", "enduser.id")
)

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
TOOL_NAME: Final = "gen_ai.tool.name"
AGENT_NAME: Final = "gen_ai.agent.name"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
CACHE_CREATION_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
ERROR_TYPE: Final = "error.type"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

#: Our event for a piece of an answer that is not whole yet, and the attribute that says how many there were: once it
#: is there the answer is too, and the pieces go.
CHUNK: Final = "agentops.chunk"
CHUNKS: Final = "agentops.chunks"

#: Ours, on a call that somebody else than one of the big houses answered: what that server's list of models says of it.
SERVED_MODEL: Final = "agentops.served_model"

#: Ours, on the span of a loop's iteration: its number; what circle it is part of; and on the last one why there is no
#: other: "max_iterations", "max_seconds" or "circle", and the same as a sentence.
LOOP_ITERATION: Final = "agentops.loop.iteration"
LOOP_CIRCLE: Final = "agentops.loop.circle"
LOOP_STOPPED: Final = "agentops.loop.stopped"
LOOP_REASON: Final = "agentops.loop.reason"

#: Ours, on a call that was answered from a cache of the program's own: true. It cost nothing.
CACHE_HIT: Final = "agentops.cache.hit"

OI_KIND: Final = "openinference.span.kind"
OI_INPUT: Final = "input.value"
OI_INPUT_TYPE: Final = "input.mime_type"
OI_OUTPUT: Final = "output.value"
OI_OUTPUT_TYPE: Final = "output.mime_type"
OI_SESSION: Final = "session.id"
OI_USER: Final = "user.id"
OI_TAGS: Final = "tag.tags"
OI_METADATA: Final = "metadata"
OI_MODEL: Final = "llm.model_name"
OI_INPUT_TOKENS: Final = "llm.token_count.prompt"
OI_OUTPUT_TOKENS: Final = "llm.token_count.completion"
OI_COST: Final = "llm.cost.total"  # US dollars; OpenTelemetry has no name for it

#: Values of gen_ai.operation.name; the last four kinds have none in the conventions and use our own word.
OPERATION: Final[dict[str, str]] = {
    "agent": "invoke_agent",
    "plan": "plan",
    "llm": "chat",
    "tool": "execute_tool",
    "retrieval": "retrieval",
    "embedding": "embeddings",
    "rerank": "rerank",
    "loop": "invoke_workflow",
    "chain": "invoke_workflow",
    "guardrail": "run_guardrail",
    "eval": "evaluate",
}

OPENINFERENCE: Final[dict[str, str]] = {
    "agent": "AGENT",
    "plan": "CHAIN",
    "llm": "LLM",
    "tool": "TOOL",
    "retrieval": "RETRIEVER",
    "embedding": "EMBEDDING",
    "rerank": "RERANKER",
    "loop": "CHAIN",
    "chain": "CHAIN",
    "guardrail": "GUARDRAIL",
    "eval": "EVALUATOR",
}

_KIND_OF_OPENINFERENCE: Final[dict[str, Kind]] = {
    "AGENT": "agent",
    "LLM": "llm",
    "TOOL": "tool",
    "RETRIEVER": "retrieval",
    "EMBEDDING": "embedding",
    "RERANKER": "rerank",
    "CHAIN": "chain",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "eval",
}
_KIND_OF_OPERATION: Final[dict[str, Kind]] = {
    "chat": "llm",
    "generate_content": "llm",
    "text_completion": "llm",
    "embeddings": "embedding",
    "retrieval": "retrieval",
    "rerank": "rerank",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "create_agent": "agent",
    "invoke_workflow": "chain",
    "plan": "plan",
    "run_guardrail": "guardrail",
    "evaluate": "eval",
}

#: Attributes of other libraries that hold what we call input and output, first match wins.
INPUT_KEYS: Final = (OI_INPUT, INPUT_MESSAGES, TOOL_ARGUMENTS)
OUTPUT_KEYS: Final = (OI_OUTPUT, OUTPUT_MESSAGES, TOOL_RESULT)


def kind_of(attributes: dict[str, object]) -> Kind:
    """The kind of a span that another library made, from its attributes.

    OpenInference's kind wins over the operation's name, since it is the more specific of the two.
    """
    kind = _KIND_OF_OPENINFERENCE.get(str(attributes.get(OI_KIND, "")).upper())
    return kind or _KIND_OF_OPERATION.get(str(attributes.get(OPERATION_NAME, "")), DEFAULT_KIND)


def cost_usd(attributes: dict[str, object]) -> float | None:
    """What a call cost in US dollars, where somebody said it; None for what is no amount."""
    value = attributes.get(OI_COST)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < 1e18 else None


def token_count(attributes: dict[str, object], *keys: str) -> int | None:
    """The first of `keys` that holds a whole number of tokens (counts may come as text)."""
    for key in keys:
        value = attributes.get(key)
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return int(value)
    return None

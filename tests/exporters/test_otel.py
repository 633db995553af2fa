"""A recorded span as an OTLP exporter sends it: recorded, read, mapped, encoded, and read back from the bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Wire
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.trace import Link, StatusCode

import agentops
from agentops import UsageError, score, span
from agentops.conventions import KINDS, Dialect
from agentops.exporters.otel import readable
from agentops.store.reader import Reader

DIALECTS: tuple[Dialect, ...] = ("both", "genai", "openinference")


class Sent:
    """One span as a backend gets it."""

    def __init__(self, wire: Wire, scope: Any) -> None:
        self.wire, self.scope = wire, scope
        self.attributes = {pair.key: _value(pair.value) for pair in wire.attributes}
        self.events = [(e.name, {p.key: _value(p.value) for p in e.attributes}, e.time_unix_nano) for e in wire.events]

    def __getitem__(self, key: str) -> Any:
        return self.attributes[key]

    def json(self, key: str) -> Any:
        assert isinstance(self[key], str)
        return json.loads(self[key])


def _value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_value(one) for one in value.array_value.values]
    if which == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, which)


def sent_from(store: Path, dialect: Dialect = "both") -> list[Sent]:
    with Reader(str(store)) as reader:
        spans = []
        for trace in reader.iter_traces():
            scores = reader.scores(trace)
            for number, detail in enumerate(reader.details(trace)):
                own = [s for s in scores if s.span_id == detail.row.hex_id or (s.span_id is None and not number)]
                spans.append(readable(detail, own, dialect=dialect))
    request = ExportTraceServiceRequest.FromString(encode_spans(spans).SerializeToString())
    return [Sent(w, s.scope) for r in request.resource_spans for s in r.scope_spans for w in s.spans]


@pytest.fixture
def sent(store: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., dict[str, Sent]]:
    """What this process has recorded so far, by name."""

    def read(dialect: Dialect = "both") -> dict[str, Sent]:
        assert agentops.flush()
        found = {one.wire.name: one for one in sent_from(store, dialect)}
        assert "Failed to encode" not in caplog.text
        return found

    return read


Read = Callable[..., dict[str, Sent]]


def test_tree_ids_and_times_are_those_on_record(sent: Read, store: Path) -> None:
    with span("answer", kind="agent", session="s-1", user="u-1", tags=["a", "b"], metadata={"build": 7}) as root:
        with span("ask", kind="llm"):
            pass
    found = sent()
    above, below = found["answer"].wire, found["ask"].wire
    assert (above.trace_id.hex(), above.span_id.hex(), above.parent_span_id) == (root.trace_id, root.span_id, b"")
    assert (below.trace_id, below.parent_span_id) == (above.trace_id, above.span_id)
    assert (above.kind, below.kind) == (Wire.SPAN_KIND_INTERNAL, Wire.SPAN_KIND_CLIENT)
    assert above.status.code == below.status.code == Status.STATUS_CODE_OK
    assert found["ask"].scope.name == "agentops" and found["ask"].scope.version == agentops.__version__
    with Reader(str(store)) as reader:
        rows = {row.name: row for row in reader.spans(reader.trace("latest"))}
    for name, one in found.items():
        assert (one.wire.start_time_unix_nano, one.wire.end_time_unix_nano) == (rows[name].start_ns, rows[name].end_ns)
        assert (one["session.id"], one["gen_ai.conversation.id"], one["user.id"]) == ("s-1", "s-1", "u-1")
        assert (one["tag.tags"], one.json("metadata")) == (["a", "b"], {"build": 7})


@pytest.mark.parametrize(
    ("kind", "operation", "openinference"),
    [
        ("agent", "invoke_agent", "AGENT"),
        ("plan", "plan", "CHAIN"),
        ("llm", "chat", "LLM"),
        ("tool", "execute_tool", "TOOL"),
        ("retrieval", "retrieval", "RETRIEVER"),
        ("embedding", "embeddings", "EMBEDDING"),
        ("rerank", "rerank", "RERANKER"),
        ("loop", "invoke_workflow", "CHAIN"),
        ("chain", "invoke_workflow", "CHAIN"),
        ("guardrail", "run_guardrail", "GUARDRAIL"),
        ("eval", "evaluate", "EVALUATOR"),
    ],
)
def test_a_kind_has_its_name_in_both_vocabularies(sent: Read, kind: Any, operation: str, openinference: str) -> None:
    with span("step", kind=kind):
        pass
    found = sent()["step"]
    assert (found["gen_ai.operation.name"], found["openinference.span.kind"]) == (operation, openinference)
    assert found["agentops.kind"] == kind


def test_a_request_that_was_served_is_a_servers_span(sent: Read) -> None:
    from agentops_integrations.web import wsgi

    def app(environ: Any, start_response: Any) -> list[bytes]:
        with span("answer", kind="agent"):
            start_response("502 Bad Gateway" if environ["PATH_INFO"] == "/bad" else "200 OK", [])
        return [b"x"]

    for path in ("/well", "/bad"):
        given = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.input": None}
        assert b"".join(wsgi(app)(given, lambda *_: None)) == b"x"
    for dialect in DIALECTS:
        found = sent(dialect)
        well, bad = found["GET /well"], found["GET /bad"]
        assert well.wire.kind == bad.wire.kind == Wire.SPAN_KIND_SERVER
        assert "gen_ai.operation.name" not in well.attributes and "error.type" not in well.attributes
        assert (bad["error.type"], bad["http.response.status_code"]) == ("502", 502)
        assert bad.wire.status.code == Status.STATUS_CODE_ERROR
        assert found["answer"].wire.kind == Wire.SPAN_KIND_INTERNAL


# What the Messages API of Anthropic takes and gives, as our integration records it.
ASKED = [
    {"role": "user", "content": [{"type": "text", "text": "Weather?"}, {"type": "text", "text": "In Ulm."}]},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "two towns", "signature": "c2ln"},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {"town": "Ulm"}},
            {"type": "tool_use", "id": "t2", "name": "weather", "input": {"town": "Neu-Ulm"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
            {"type": "tool_result", "tool_use_id": "t2", "content": "no such town", "is_error": True},
            {"type": "text", "text": "Go on."},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            {"type": "search_result", "title": "of a type that nobody knows"},
        ],
    },
]
IN_PARTS = [
    {"role": "user", "parts": [{"type": "text", "content": "Weather?"}, {"type": "text", "content": "In Ulm."}]},
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "two towns"},
            {"type": "tool_call", "id": "t1", "name": "weather", "arguments": {"town": "Ulm"}},
            {"type": "tool_call", "id": "t2", "name": "weather", "arguments": {"town": "Neu-Ulm"}},
        ],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "sunny"}]},
    {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "t2", "response": "no such town", "is_error": True}],
    },
    {"role": "user", "parts": [{"type": "text", "content": "Go on."}]},
    {
        "role": "user",
        "parts": [
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="},
            {"type": "uri", "modality": "document", "uri": "https://example.com/a.pdf"},
            {"type": "search_result", "title": "of a type that nobody knows"},
        ],
    },
]
TOOL = {"name": "weather", "description": "The weather.", "input_schema": {"type": "object"}}


def test_a_call_of_anthropic_goes_out_in_the_parts_of_the_conventions(sent: Read) -> None:
    with span("chat", kind="llm", input=ASKED) as s:
        s.set_attribute("gen_ai.system_instructions", [{"type": "text", "text": "Be short."}])
        s.set_attribute("gen_ai.tool.definitions", [TOOL, {"type": "web_search_20250305", "name": "web_search"}])
        s.set_attribute("gen_ai.response.finish_reasons", ["max_tokens"])
        s.output = [{"type": "text", "text": "It is sunny"}]
    found = sent()["chat"]
    assert found.json("gen_ai.input.messages") == IN_PARTS
    assert found.json("gen_ai.output.messages") == [
        {"role": "assistant", "parts": [{"type": "text", "content": "It is sunny"}], "finish_reason": "length"}
    ]
    assert found.json("gen_ai.system_instructions") == [{"type": "text", "content": "Be short."}]
    assert found.json("gen_ai.tool.definitions") == [
        {"type": "function", "name": "weather", "description": "The weather.", "parameters": {"type": "object"}},
        {"type": "web_search_20250305", "name": "web_search"},
    ]
    assert found["gen_ai.response.finish_reasons"] == ["length"]
    assert (found.json("input.value"), found["input.mime_type"]) == (ASKED, "application/json")


def test_a_call_of_openai_goes_out_in_the_parts_of_the_conventions(sent: Read) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"town": "Ulm"}'}}
    asked = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "sunny"},
    ]
    with span("chat", kind="llm", input={"model": "m", "messages": asked}) as s:
        s.set_attribute("gen_ai.tool.definitions", [{"type": "function", "function": {"name": "weather"}}])
        s.output = {
            "choices": [{"message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"}]
        }
    found = sent()["chat"]
    made = {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"town": "Ulm"}}
    assert found.json("gen_ai.input.messages") == [
        {"role": "system", "parts": [{"type": "text", "content": "Be short."}]},
        {"role": "user", "parts": [{"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="}]},
        {"role": "assistant", "parts": [made]},
        {"role": "tool", "name": "weather", "parts": [{"type": "tool_call_response", "id": "c1", "response": "sunny"}]},
    ]
    assert found.json("gen_ai.output.messages") == [
        {"role": "assistant", "parts": [made], "finish_reason": "tool_call"}
    ]
    assert found.json("gen_ai.tool.definitions") == [{"type": "function", "name": "weather"}]


def test_what_is_in_the_conventions_own_form_stays_and_an_answer_always_has_a_finish_reason(sent: Read) -> None:
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "Hi"}]}]
    with span("chat", kind="llm") as s:
        s.set_attribute("gen_ai.input.messages", json.dumps(IN_PARTS))
        s.set_attribute("gen_ai.output.messages", json.dumps(answer))  # Anthropic's own tracing leaves it out
    with span("call", kind="llm", input="Hi") as s:
        s.output = [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]
    found = sent()
    assert found["chat"].json("gen_ai.input.messages") == IN_PARTS
    assert found["chat"].json("gen_ai.output.messages") == [{**answer[0], "finish_reason": "stop"}]
    assert found["call"].json("gen_ai.output.messages")[0]["finish_reason"] == "tool_call"


def test_texts_stay_texts_even_if_they_look_like_messages(sent: Read) -> None:
    said = '[{"role": "user", "content": "a text of the model"}]'
    with span("chat", kind="llm", input="Hi") as s:
        s.output = said
    with span("step", input={"n": 1}) as s:
        s.output = "done"
    found = sent()
    assert found["chat"].json("gen_ai.output.messages")[0]["parts"] == [{"type": "text", "content": said}]
    assert (found["chat"]["output.value"], found["chat"]["output.mime_type"]) == (said, "text/plain")
    assert (found["step"]["input.value"], found["step"]["input.mime_type"]) == ('{"n":1}', "application/json")
    assert (found["step"]["output.value"], found["step"]["output.mime_type"]) == ("done", "text/plain")


def test_tools_and_retrievals_have_their_content_where_backends_look(sent: Read) -> None:
    documents = [{"id": "a", "score": 0.5, "content": "five days"}, {"id": 2, "score": 0.25, "content": "ten days"}]
    with span("pay", kind="tool", input={"order": 1}) as s:
        s.output = {"paid": True}
    with span("search", kind="retrieval", input={"query": "refund"}) as s:
        s.output = documents
    found = sent()
    tool, search = found["pay"], found["search"]
    assert tool["gen_ai.tool.name"] == "pay"
    assert (tool["gen_ai.tool.call.arguments"], tool["gen_ai.tool.call.result"]) == ('{"order":1}', '{"paid":true}')
    assert search["gen_ai.retrieval.query.text"] == "refund"
    assert search.json("gen_ai.retrieval.documents") == [documents[0], {**documents[1], "id": "2"}]
    assert search["retrieval.documents.1.document.content"] == "ten days"
    assert search["retrieval.documents.0.document.score"] == 0.5


def test_tokens_and_cost_count_once_and_under_every_name_that_is_read(sent: Read) -> None:
    with span("answer", kind="agent") as run:
        with span("chat", kind="llm") as s:
            s.set_attribute("gen_ai.usage.input_tokens", 100)
            s.set_attribute("gen_ai.usage.cache_write.input_tokens", 30)
            s.set_attribute("llm.cost.total", 0.25)
        run.set_attribute("gen_ai.usage.input_tokens", 100)  # the sum of what is below
        run.set_attribute("llm.cost.total", 0.25)
    found = sent()
    call = found["chat"]
    assert call["gen_ai.usage.cache_write.input_tokens"] == call["gen_ai.usage.cache_creation.input_tokens"] == 30
    assert call["llm.cost.total"] == call["gen_ai.usage.cost"] == call["operation.cost"] == 0.25
    assert not [key for key in found["answer"].attributes if key.startswith(("gen_ai.usage.", "llm."))]
    assert found["answer"]["agentops.gen_ai.usage.input_tokens"] == 100
    call = sent("genai")["chat"]  # the conventions' own name alone
    assert call["gen_ai.usage.cache_write.input_tokens"] == 30
    assert "gen_ai.usage.cache_creation.input_tokens" not in call.attributes


def test_an_error_has_status_type_and_exception(sent: Read) -> None:
    class Refused(Exception):
        pass

    with pytest.raises(Refused):
        with span("pay", kind="tool"):
            raise Refused("no money")
    with span("said") as s:
        s.set_status(StatusCode.ERROR, "wrong")
    found = sent()
    failed = found["pay"]
    kind = f"{Refused.__module__}.{Refused.__qualname__}"
    assert (failed.wire.status.code, failed.wire.status.message) == (Status.STATUS_CODE_ERROR, f"{kind}: no money")
    assert failed["error.type"] == kind
    ((name, facts, when),) = failed.events
    assert (name, facts["exception.type"], facts["exception.message"]) == ("exception", kind, "no money")
    assert "raise Refused" in facts["exception.stacktrace"] and when == failed.wire.end_time_unix_nano
    assert (found["said"].wire.status.message, found["said"]["error.type"]) == ("wrong", "_OTHER")
    assert found["said"].events == []


def test_events_links_and_scores_go_along(sent: Read) -> None:
    with span("first") as first:
        pass
    with span("second", links=[Link(first.get_span_context(), {"why": "because"})]) as second:
        second.add_event("retry", {"attempt": 2, "why": {"code": 529}})
        score("helpful", 0.5, span=second, comment="half of it")
        score("tone", "friendly", trace=second)
    found = sent()["second"]
    (link,) = found.wire.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (first.trace_id, first.span_id)
    assert _value(link.attributes[0].value) == "because"
    assert ("retry", {"attempt": 2, "why": '{"code":529}'}) in [event[:2] for event in found.events]
    results = [facts for name, facts, _ in found.events if name == "gen_ai.evaluation.result"]
    assert {
        "gen_ai.evaluation.name": "helpful",
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.evaluation.explanation": "half of it",
        "agentops.score.of_trace": False,
    } in results
    assert {
        "gen_ai.evaluation.name": "tone",
        "gen_ai.evaluation.score.label": "friendly",
        "agentops.score.of_trace": True,
    } in results


def test_what_was_cut_off_is_an_error_with_what_had_come_of_the_answer(
    program: Callable[..., Any], tmp_path: Path
) -> None:
    program(
        """
        import os, signal
        from agentops import span
        with span("answer", kind="agent"):
            with span("chat", kind="llm", input="Hi") as s:
                for piece in ("Hel", "lo"):
                    s.add_event("agentops.chunk", {"index": 0, "type": "text_delta", "text": piece})
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    found = {one.wire.name: one for one in sent_from(tmp_path / "traces.db")}
    call = found["chat"]
    assert (call.wire.status.code, call.wire.status.message) == (Status.STATUS_CODE_ERROR, "interrupted")
    assert call["error.type"] == "interrupted"
    assert call.json("gen_ai.output.messages") == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Hello"}], "finish_reason": "error"}
    ]
    assert call.wire.end_time_unix_nano > call.wire.start_time_unix_nano  # the last sign of life
    assert call.events == [] and found["answer"].wire.status.message == "interrupted"


def test_what_still_runs_is_refused(store: Path) -> None:
    with span("long"):
        assert agentops.flush()
        with Reader(str(store)) as reader:
            (detail,) = reader.details(reader.trace("latest"))
        with pytest.raises(UsageError, match="still runs"):
            readable(detail)


def test_spans_of_other_libraries_go_out_as_they_came(program: Callable[..., Any], tmp_path: Path) -> None:
    done = program(
        """
        import json
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from opentelemetry.trace import SpanKind, Status, StatusCode
        import agentops
        from agentops import span

        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        other = trace.get_tracer("some.library", "1.2.3")
        with span("root", session="s-1"):
            with other.start_as_current_span("GET /orders", kind=SpanKind.SERVER) as s:
                s.set_attribute("http.response.status_code", 200)
                s.set_attribute("numbers", [1, 2])
                s.add_event("cache", {"hit": True})
            links = [trace.Link(s.get_span_context())]
            with other.start_as_current_span("ask", kind=SpanKind.CLIENT, links=links) as s:
                s.set_attribute("gen_ai.operation.name", "chat")
                s.set_attribute("gen_ai.usage.cache_creation.input_tokens", 3)
                s.set_attribute("gen_ai.output.messages", '[{"role": "assistant", "parts": []}]')
                s.set_attribute("llm.input_messages.0.message.role", "user")
                s.set_attribute("session.id", "theirs")
                s.set_status(Status(StatusCode.OK))
            try:
                with other.start_as_current_span("fails"): raise ValueError("bad")
            except ValueError: pass
        agentops.shutdown()
        print(json.dumps([json.loads(s.to_json()) for s in exporter.get_finished_spans() if s.name != "root"]))
        """
    )
    found = {one.wire.name: one for one in sent_from(tmp_path / "traces.db")}
    theirs = json.loads(done.stdout)
    assert len(theirs) == 3
    added = {}
    for span_ in theirs:
        one = found[span_["name"]]
        assert {key: one.attributes.get(key) for key in span_["attributes"]} == span_["attributes"]
        added[span_["name"]] = {k: v for k, v in one.attributes.items() if k not in span_["attributes"]}
        assert f"SpanKind.{Wire.SpanKind.Name(one.wire.kind).removeprefix('SPAN_KIND_')}" == span_["kind"]
        assert (
            Status.StatusCode.Name(one.wire.status.code).removeprefix("STATUS_CODE_") == span_["status"]["status_code"]
        )
        assert [(name, facts) for name, facts, _ in one.events] == [
            (e["name"], e["attributes"]) for e in span_["events"]
        ]
        assert [f"0x{link.span_id.hex()}" for link in one.wire.links] == [
            link["context"]["span_id"] for link in span_["links"]
        ]
        assert f"0x{one.wire.span_id.hex()}" == span_["context"]["span_id"]
        assert f"0x{one.wire.parent_span_id.hex()}" == span_["parent_id"]
        assert (one.scope.name, one.scope.version) == ("some.library", "1.2.3")
    assert added["GET /orders"] == {"session.id": "s-1"}
    assert added["ask"] == {"openinference.span.kind": "LLM", "gen_ai.usage.cache_write.input_tokens": 3}


def _record_each_kind() -> None:
    for kind in KINDS:
        with span(kind, kind=kind, session="s", user="u", tags=["t"], metadata={"m": 1}, input="asked") as s:
            s.set_attribute("gen_ai.request.model", "m-1")
            s.set_attribute("gen_ai.request.max_tokens", 10)
            if kind == "llm":
                s.input = ASKED
                s.set_attribute("gen_ai.tool.definitions", [TOOL])
                s.set_attribute("gen_ai.system_instructions", "Be short.")
                s.set_attribute("gen_ai.usage.input_tokens", 5)
                s.set_attribute("gen_ai.usage.output_tokens", 7)
                s.set_attribute("llm.cost.total", 0.5)
            s.output = "answered"


def test_the_dialect_of_opentelemetry_has_no_name_of_openinference(sent: Read) -> None:
    _record_each_kind()
    for name, one in sent("genai").items():
        theirs = ("openinference.", "llm.", "input.", "output.", "tag.", "metadata", "retrieval.", "tool.")
        assert not [key for key in one.attributes if key.startswith(theirs)]
        assert "asked" in str(one.attributes) or name == "llm"
        assert "answered" in str(one.attributes)
        assert (one["agentops.tags"], one.json("agentops.metadata")) == (["t"], {"m": 1})
    assert sent("genai")["llm"]["gen_ai.usage.cost"] == 0.5
    assert sent("genai")["loop"]["agentops.input"] == "asked"


def test_the_dialect_of_openinference_has_no_name_of_opentelemetrys_conventions(sent: Read) -> None:
    _record_each_kind()
    found = sent("openinference")
    for one in found.values():
        assert not [key for key in one.attributes if key.startswith("gen_ai.")]
    call = found["llm"]
    assert call["llm.model_name"] == "m-1" and call.json("llm.invocation_parameters") == {"max_tokens": 10}
    counts = [call[f"llm.token_count.{name}"] for name in ("prompt", "completion", "total")]
    assert counts == [5, 7, 12] and call["llm.cost.total"] == 0.5
    assert (call["llm.input_messages.0.message.role"], call["llm.input_messages.0.message.content"]) == (
        "system",
        "Be short.",
    )
    assert call["llm.input_messages.1.message.contents.1.message_content.text"] == "In Ulm."
    assert call["llm.input_messages.2.message.tool_calls.1.tool_call.function.name"] == "weather"
    assert call["llm.input_messages.3.message.tool_call_id"] == "t1"
    assert call["llm.input_messages.3.message.content"] == "sunny"
    image = "llm.input_messages.6.message.contents.0.message_content."
    assert (call[image + "type"], call[image + "image.image.url"]) == ("image", "data:image/png;base64,aGk=")
    assert call["llm.output_messages.0.message.content"] == "answered"
    assert call.json("llm.tools.0.tool.json_schema")["function"]["name"] == "weather"
    assert found["tool"]["tool.name"] == "tool"


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**30, max_value=10**31)
    | st.floats()
    | st.text(st.characters())  # half surrogate pairs are among them
    | st.binary(max_size=20)
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "tool"]) | inner, "content": inner},
            optional={"tool_calls": inner, "parts": inner, "type": inner, "name": inner, "finish_reason": inner},
        )
        | st.fixed_dictionaries(
            {"type": st.sampled_from(["text", "tool_use", "tool_result", "image", "image_url", "function_call"])},
            optional=dict.fromkeys(("text", "id", "name", "input", "content", "source", "tool_use_id"), inner),
        )
    ),
    max_leaves=12,
)
KEYS = [
    "mine", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions",
    "gen_ai.system_instructions", "gen_ai.response.finish_reasons", "gen_ai.usage.input_tokens", "llm.cost.total",
    "openinference.span.kind", "gen_ai.operation.name", "session.id", "metadata", "tag.tags",
]  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    dialect=st.sampled_from(DIALECTS),
    asked=anything,
    answered=anything,
    attributes=st.dictionaries(st.sampled_from(KEYS) | st.text(st.characters(), max_size=5), anything, max_size=4),
)
def test_whatever_is_recorded_goes_out(
    store: Path,
    caplog: pytest.LogCaptureFixture,
    kind: Any,
    dialect: Dialect,
    asked: Any,
    answered: Any,
    attributes: dict[str, Any],
) -> None:
    with span("step", kind=kind, input=asked, attributes=attributes) as s:
        s.output = answered
        s.add_event("seen", {"value": asked})
    assert agentops.flush()
    with Reader(str(store)) as reader:
        trace = reader.trace(s.trace_id)
        (detail,) = reader.details(trace)
        made = readable(detail, dialect=dialect)
    request = ExportTraceServiceRequest.FromString(encode_spans([made]).SerializeToString())
    one = Sent(request.resource_spans[0].scope_spans[0].spans[0], None)
    assert "Failed to encode" not in caplog.text
    assert (one.wire.trace_id.hex(), one.wire.span_id.hex()) == (s.trace_id, s.span_id)
    assert (one.wire.start_time_unix_nano, one.wire.end_time_unix_nano) == (detail.row.start_ns, detail.row.end_ns)
    assert one.wire.status.code == Status.STATUS_CODE_OK and len(one.events) == 1
    if kind == "llm" and dialect != "openinference":
        for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
            for message in one.json(key) if key in one.attributes else ():
                assert isinstance(message["role"], str)
                assert all(isinstance(part["type"], str) for part in message["parts"])
                assert key.startswith("gen_ai.input") or isinstance(message["finish_reason"], str)
    if dialect != "genai" and "input.mime_type" in one.attributes and isinstance(detail.input, (dict, list)):
        json.loads(one["input.value"])


def test_what_is_large_deep_or_no_json_goes_out(sent: Read) -> None:
    deep: Any = "bottom"
    for _ in range(5_000):
        deep = [deep]
    with span("large", kind="llm", input="x" * 10_000_000) as s:
        s.set_attribute("huge", 10**30)
        s.set_attribute("odd", math.nan)
        s.set_attribute("half", "a\ud800b")
        s.set_attribute("bytes", b"\xff\x00")
        s.set_attribute("numbers", [1, 2**70])
    with span("deep", kind="tool", input=deep) as s:
        s.output = {"not a number": math.nan}
    found = sent()
    assert len(found["large"]["input.value"]) == 10_000_000
    assert (found["large"]["huge"], found["large"]["half"]) == (str(10**30), "a?b")
    assert math.isnan(found["large"]["odd"])
    assert found["large"].json("numbers") == [1, 2**70]
    assert found["deep"].json("output.value") == {"not a number": None}
    assert isinstance(found["deep"].json("input.value"), list)

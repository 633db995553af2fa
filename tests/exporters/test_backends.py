"""Runs that were recorded look right in the backends: sent to real servers, asked for through their APIs.

What is compared with is what the store's reader gives, not what the mapping makes of it.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentops.conventions import Dialect
from agentops.store.rows import ScoreRow, SpanDetail, TraceRow
from tests.exporters.backends import (
    Compared,
    ask,
    environment,
    free_port,
    said,
    said_in_attributes,
    said_in_parts,
    server,
    until,
)

pytestmark = [pytest.mark.proof]

ROOT = Path(__file__).parents[2]
DOCUMENTED = ROOT / "docs" / "BACKENDS.md"
TAU = ROOT.parent / "shared" / "data" / "tau_airline_runs.jsonl.gz"
TAU_RUNS = """
import gzip, json
with gzip.open(SOURCE, "rt") as file:
    runs = [json.loads(next(file)) for _ in range(10)]
for number, run in enumerate(runs):
    messages = run["messages"]
    facts = {"session": f"task-{run['task_id']}", "user": f"customer-{number}", "metadata": {"trial": run["trial"]}}
    with span("airline", kind="agent", **facts, tags=["airline"], input=messages[1]["content"]) as agent:
        for i, message in enumerate(messages):
            if message["role"] == "assistant":
                with span("chat gpt-4o", kind="llm", input=messages[:i]) as s:
                    s.set_attribute("gen_ai.provider.name", "openai")
                    s.set_attribute("gen_ai.request.model", "gpt-4o")
                    s.set_attribute("gen_ai.usage.input_tokens", 10 * i + 7)
                    s.set_attribute("gen_ai.usage.output_tokens", i)
                    s.output = message
                    if i == 2:
                        score("polite", "yes", span=s, comment="it greets")
            elif message["role"] == "tool":
                with span(message.get("name") or "tool", kind="tool", input={"call": message.get("tool_call_id")}) as s:
                    s.output = message["content"]
        agent.output = messages[-1]["content"]
    score("solved", run["reward"], trace=agent)
"""
#: Kinds, an error in an error, the shapes of a conversation that the two others lack, and what is cut off.
OTHERS = """
import os
with span("odds and ends", session="s-odd", user="u-odd") as root:
    for kind in ("plan", "loop", "guardrail", "eval", "rerank", "embedding", "chain"):
        with span(f"a {kind}", kind=kind, input={"of": kind}) as s:
            s.output = [kind]
    calls = [{"type": "tool_use", "id": f"t{n}", "name": "look", "input": {"n": n}} for n in (1, 2)]
    answers = [{"type": "tool_result", "tool_use_id": f"t{n}", "content": f"seen {n}"} for n in (1, 2)]
    asked = [{"role": "user", "content": "Look"}, {"role": "assistant", "content": calls}]
    asked.append({"role": "user", "content": [*answers, {"type": "text", "text": "Well?"}]})
    with span("chat m", kind="llm", input=asked) as s:
        s.set_attribute("gen_ai.request.model", "m")
        s.set_attribute("gen_ai.usage.input_tokens", 50)
        s.set_attribute("gen_ai.usage.output_tokens", 5)
        s.set_attribute("gen_ai.usage.cache_read.input_tokens", 30)
        s.set_attribute("gen_ai.usage.cache_write.input_tokens", 10)
        s.output = [{"type": "thinking", "thinking": "hm", "signature": "eA=="}, {"type": "text", "text": "Nothing."}]
    root.set_attribute("gen_ai.usage.input_tokens", 50)  # a sum: it must not count again
    with span("found", kind="retrieval", input="a query") as s:
        s.output = [{"id": "d1", "score": 0.5, "content": "a text"}]
    try:
        with span("outer", kind="chain"):
            with span("inner", kind="tool"):
                raise ValueError("it broke")
    except ValueError:
        pass
with span("dies", kind="agent"):
    with span("waits", kind="tool"):
        os._exit(0)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, recording: Callable[[str, Path], Path]) -> Path:
    """The store that all is recorded into: the demo, ten runs of an airline's agent, and what those have not."""
    if not TAU.exists():
        pytest.skip(f"{TAU.name} is not beside the checkout")
    store = tmp_path_factory.mktemp("recorded") / "traces.db"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AGENTOPS_", "OTEL_", "ANTHROPIC_"))}
    demo = [sys.executable, "-m", "examples.support_agent"]
    subprocess.run(demo, cwd=ROOT, env={**kept, "AGENTOPS_STORE": str(store)}, check=True, capture_output=True)
    recording(f"SOURCE = {str(TAU)!r}\n{TAU_RUNS}", store)
    return recording(OTHERS, store)


Recorded = list[tuple[TraceRow, list[SpanDetail], list[ScoreRow]]]


@pytest.fixture(scope="module")
def recorded(runs: Path) -> Recorded:
    from agentops.store.reader import Reader

    with Reader(str(runs)) as reader:
        return [(trace, list(reader.details(trace)), reader.scores(trace)) for trace in reader.iter_traces()]


def send(recorded: Recorded, url: str, headers: dict[str, str], dialect: Dialect = "both") -> None:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    from agentops.exporters.otel import readable

    spans = [
        readable(d, scores_of(d, details, scores), dialect=dialect) for _, details, scores in recorded for d in details
    ]
    exporter = OTLPSpanExporter(url, headers=headers, compression=Compression.Gzip, timeout=120)
    for at in range(0, len(spans), 64):
        assert exporter.export(spans[at : at + 64]) is SpanExportResult.SUCCESS
    exporter.shutdown()


def scores_of(detail: SpanDetail, details: list[SpanDetail], scores: list[ScoreRow]) -> list[ScoreRow]:
    """Those of a span; the trace's stand with its first one."""
    return [s for s in scores if s.span_id == detail.row.hex_id or (s.span_id is None and detail is details[0])]


def error_of(detail: SpanDetail) -> str:
    if detail.row.status == "interrupted":
        return "interrupted"
    return "" if not detail.exception else f"{detail.exception['type']}: {detail.exception['message']}"


def answer_of(detail: SpanDetail) -> list[dict[str, Any]]:
    """The messages that a call gave back: Anthropic's are blocks, those of the airline whole messages."""
    output = detail.output
    return [output] if isinstance(output, dict) else [{"role": "assistant", "content": output}]


def system_of(detail: SpanDetail) -> list[Any]:
    said = detail.attributes.get("gen_ai.system_instructions")
    return [("system", [said], [], [])] if said else []


KINDS = {
    "agent": "AGENT", "plan": "CHAIN", "llm": "LLM", "tool": "TOOL", "retrieval": "RETRIEVER", "embedding": "EMBEDDING",
    "rerank": "RERANKER", "loop": "CHAIN", "chain": "CHAIN", "guardrail": "GUARDRAIL", "eval": "EVALUATOR",
}  # fmt: skip


# -- Phoenix -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def phoenix_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with environment("phoenix", tmp_path_factory.mktemp("phoenix")) as programs:
        yield programs


@contextmanager
def phoenix_with(recorded: Recorded, programs: Path, folder: Path, dialect: Dialect) -> Iterator[str]:
    """A server that all was sent to, twice: an answer may get lost, and what is sent again is there once."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with server([str(programs / "phoenix"), "serve"], folder, f"{url}/healthz", **settings):
        for _ in range(2):
            send(recorded, f"{url}/v1/traces", {"x-project-name": "agents"}, dialect)
        yield url


@pytest.fixture(scope="module")
def phoenix(recorded: Recorded, phoenix_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with phoenix_with(recorded, phoenix_programs, tmp_path_factory.mktemp("served"), "both") as url:
        yield url


def test_phoenix_shows_the_same_in_openinferences_names(
    recorded: Recorded, phoenix_programs: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with phoenix_with(recorded, phoenix_programs, tmp_path, "openinference") as url:
        _ask_phoenix(url, recorded, record_property)


def test_phoenix_shows_what_was_recorded(
    phoenix: str, recorded: Recorded, record_property: Callable[[str, object], None]
) -> None:
    _ask_phoenix(phoenix, recorded, record_property)


def _ask_phoenix(phoenix: str, recorded: Recorded, record_property: Callable[[str, object], None]) -> None:
    details = [detail for _, found, _ in recorded for detail in found]
    spans: dict[tuple[str, str], Any] = {}

    def answered() -> list[dict[str, Any]]:
        return ask(f"{phoenix}/v1/projects/agents/spans?limit=1000")["data"]  # type: ignore[no-any-return]

    def there() -> bool:
        try:
            found = answered()
        except AssertionError:  # the project comes with its first span
            return False
        spans.update({(s["context"]["trace_id"], s["context"]["span_id"]): s for s in found})
        return len(spans) >= len(details)

    until(there, 60)
    compared = Compared()
    compared.equal("how many spans", len(answered()), len(details))
    for _, found, own in recorded:
        for detail in found:
            about = scores_of(detail, found, own)
            _compare_phoenix(compared, detail, about, spans[detail.trace_id, detail.row.hex_id])
    sessions = {s["session_id"]: s for s in ask(f"{phoenix}/v1/projects/agents/sessions?limit=100")["data"]}
    for session in {trace.session for trace, _, _ in recorded if trace.session}:
        of_it = [trace for trace, _, _ in recorded if trace.session == session]
        theirs = sessions[session]
        ids = sorted(one["trace_id"] for one in theirs["traces"])
        compared.equal(f"traces of {session}", ids, sorted(trace.trace_id for trace in of_it))
        tokens = (theirs["token_count_prompt"], theirs["token_count_completion"])
        ours = (sum(trace.input_tokens for trace in of_it), sum(trace.output_tokens for trace in of_it))
        compared.equal(f"tokens of {session}", tokens, ours)
    _report(record_property, compared, details)


def _compare_phoenix(compared: Compared, detail: SpanDetail, scores: list[ScoreRow], theirs: dict[str, Any]) -> None:
    row, facts, name = detail.row, theirs["attributes"], detail.row.name

    def equal(what: str, of_phoenix: Any, ours: Any) -> None:
        compared.equal(f"{name} {row.hex_id}: {what}", of_phoenix, ours)

    equal("name", theirs["name"], row.name)
    equal("parent", theirs["parent_id"], detail.parent_span_id)
    equal("kind", theirs["span_kind"], KINDS[row.kind])
    equal("start", abs(_ns(theirs["start_time"]) - row.start_ns) <= 1000, True)  # it keeps microseconds
    if row.end_ns is not None:
        equal("end", abs(_ns(theirs["end_time"]) - row.end_ns) <= 1000, True)
    equal("status", theirs["status_code"], "OK" if row.status == "ok" else "ERROR")
    equal("error", theirs["status_message"], error_of(detail))
    exceptions = [e["attributes"] for e in theirs["events"] if e["name"] == "exception"]
    equal("exceptions", len(exceptions), 1 if detail.exception else 0)
    if detail.exception:
        equal("stack", exceptions[0]["exception.stacktrace"], detail.exception["stacktrace"])
    equal("session", facts.get("session.id"), detail.session)
    equal("user", facts.get("user.id"), detail.user)
    equal("tags", facts.get("tag.tags", []), detail.tags)
    for key, value in (("input", detail.input), ("output", detail.output)):
        shown = facts.get(f"{key}.value")
        mime = facts.get(f"{key}.mime_type")
        equal(key, json.loads(shown) if mime == "application/json" else shown, value)
    equal("metadata", facts.get("metadata.trial"), (detail.metadata or {}).get("trial"))
    results = [_event_result(e["attributes"]) for e in theirs["events"] if e["name"] == "gen_ai.evaluation.result"]
    equal("scores as events", results, [(score.name, *_result(score)) for score in scores])
    if row.kind != "llm":
        equal("no tokens", [key for key in facts if key.startswith("llm.token_count")], [])
        return
    usage = detail.usage or {}
    equal("tokens in", facts.get("llm.token_count.prompt"), usage.get("input_tokens"))
    equal("tokens out", facts.get("llm.token_count.completion"), usage.get("output_tokens"))
    for key in ("cache_read", "cache_write"):
        shown = facts.get(f"llm.token_count.prompt_details.{key}")
        equal(key, shown, usage.get(f"{key}_input_tokens"))
    equal("model", facts.get("llm.model_name"), detail.attributes.get("gen_ai.request.model"))
    equal("provider", facts.get("llm.provider"), detail.attributes.get("gen_ai.provider.name"))
    equal("cost", facts.get("llm.cost.total"), row.cost_usd)
    equal("asked", said_in_attributes(facts, "llm.input_messages"), system_of(detail) + said(detail.input))
    answered = said_in_attributes(facts, "llm.output_messages")
    thoughts = [block["thinking"] for block in _blocks(detail) if block["type"] == "thinking"]
    ours = said(answer_of(detail))
    if thoughts:  # Phoenix has them among the contents
        ours = [(role, thoughts + texts, calls, answers) for role, texts, calls, answers in ours]
    equal("answered", answered, ours)
    tools = [facts[key] for key in sorted(facts) if key.startswith("llm.tools.")]
    names = [
        json.loads(tool)["function"]["name"] if isinstance(tool, str) else tool["function"]["name"] for tool in tools
    ]
    equal("tools", names, [tool["name"] for tool in detail.attributes.get("gen_ai.tool.definitions") or ()])


def _blocks(detail: SpanDetail) -> list[dict[str, Any]]:
    return detail.output if isinstance(detail.output, list) else []


def _ns(time: str) -> int:
    moment = datetime.datetime.fromisoformat(time)
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 10**9 + moment.microsecond * 1000


def _result(score: ScoreRow) -> tuple[Any, Any]:
    return score.value, score.comment


def _event_result(said: dict[str, Any]) -> tuple[Any, Any, Any]:
    value = said.get("gen_ai.evaluation.score.value", said.get("gen_ai.evaluation.score.label"))
    return said["gen_ai.evaluation.name"], value, said.get("gen_ai.evaluation.explanation")


def _annotation_in_phoenix(url: str, score: ScoreRow) -> tuple[Any, Any] | None:
    what, id = ("span", score.span_id) if score.span_id else ("trace", score.trace_id)
    found = ask(f"{url}/v1/projects/agents/{what}_annotations?{what}_ids={id}")["data"]
    if not found:
        return None
    (one,) = found
    result = one["result"]
    return result["label"] if result["score"] is None else result["score"], result["explanation"]


# -- MLflow ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory, recorded: Recorded) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    with environment("mlflow", folder) as programs:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [str(programs / "mlflow"), "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        command += ["--default-artifact-root", str(folder / "files"), "--host", "127.0.0.1", "--port", str(port)]
        with server([*command, "--workers", "1"], folder, f"{url}/health", MLFLOW_DISABLE_TELEMETRY="true"):
            experiment = ask(f"{url}/api/2.0/mlflow/experiments/create", {"name": "agents"})["experiment_id"]
            for _ in range(2):
                send(recorded, f"{url}/v1/traces", {"x-mlflow-experiment-id": experiment})
            yield url


def test_mlflow_shows_what_was_recorded(
    mlflow: str, recorded: Recorded, record_property: Callable[[str, object], None]
) -> None:
    compared = Compared()
    details = []
    for trace, found, own in recorded:
        answer = ask(f"{mlflow}/api/3.0/mlflow/traces/get?trace_id=tr-{trace.trace_id}")["trace"]
        info = answer["trace_info"]
        _compare_trace(compared, trace, found[0], info)
        spans = {base64.b64decode(span["span_id"]).hex(): span for span in answer["spans"]}
        compared.equal("spans", sorted(spans), sorted(detail.row.hex_id for detail in found))
        compared.equal("how many spans", len(answer["spans"]), len(found))
        for detail in found:
            _compare_mlflow(compared, detail, scores_of(detail, found, own), spans[detail.row.hex_id])
        details += found
    _report(record_property, compared, details)


def _compare_trace(compared: Compared, trace: TraceRow, root: SpanDetail, info: dict[str, Any]) -> None:
    def equal(what: str, theirs: Any, ours: Any) -> None:
        compared.equal(f"trace {trace.name} {trace.trace_id}: {what}", theirs, ours)

    facts = info.get("trace_metadata", {})
    equal("experiment", info["trace_location"]["mlflow_experiment"]["experiment_id"] != "0", True)
    equal("session", facts.get("mlflow.trace.session"), trace.session)
    equal("user", facts.get("mlflow.trace.user"), trace.user)
    equal("state", info["state"], "OK" if root.row.status == "ok" else "ERROR")
    usage = json.loads(facts.get("mlflow.trace.tokenUsage", "{}"))
    tokens = (usage.get("input_tokens", 0), usage.get("output_tokens", 0))
    equal("tokens", tokens, (trace.input_tokens, trace.output_tokens))


def _compare_mlflow(compared: Compared, detail: SpanDetail, scores: list[ScoreRow], theirs: dict[str, Any]) -> None:
    row = detail.row
    facts = {pair["key"]: _plain(pair["value"]) for pair in theirs["attributes"]}

    def equal(what: str, of_mlflow: Any, ours: Any) -> None:
        compared.equal(f"{row.name} {row.hex_id}: {what}", of_mlflow, ours)

    equal("name", theirs["name"], row.name)
    parent = theirs.get("parent_span_id")
    equal("parent", base64.b64decode(parent).hex() if parent else None, detail.parent_span_id)
    equal("kind", facts.get("mlflow.spanType"), KINDS[row.kind])
    equal("start", int(theirs["start_time_unix_nano"]), row.start_ns)
    if row.end_ns is not None:
        equal("end", int(theirs["end_time_unix_nano"]), row.end_ns)
    status = theirs["status"]
    equal("status", status["code"], "STATUS_CODE_OK" if row.status == "ok" else "STATUS_CODE_ERROR")
    equal("error", status.get("message", ""), error_of(detail))
    events = [(e["name"], {p["key"]: _plain(p["value"]) for p in e["attributes"]}) for e in theirs.get("events", [])]
    exceptions = [said for name, said in events if name == "exception"]
    equal("exceptions", len(exceptions), 1 if detail.exception else 0)
    if detail.exception:
        equal("stack", exceptions[0]["exception.stacktrace"], detail.exception["stacktrace"])
    results = [_event_result(said) for name, said in events if name == "gen_ai.evaluation.result"]
    equal("scores as events", results, [(score.name, *_result(score)) for score in scores])
    equal("input", facts.get("mlflow.spanInputs"), _unfolded(detail.input))
    equal("output", facts.get("mlflow.spanOutputs"), _unfolded(detail.output))
    equal("session", facts.get("session.id"), detail.session)
    equal("tags", facts.get("tag.tags", []), detail.tags)
    if row.kind != "llm":
        equal("no tokens", facts.get("mlflow.chat.tokenUsage"), None)
        return
    usage = {key.replace("cache_write", "cache_creation"): value for key, value in (detail.usage or {}).items()}
    usage.pop("reasoning_output_tokens", None)  # MLflow keeps none
    if usage:
        usage["total_tokens"] = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
    equal("tokens", facts.get("mlflow.chat.tokenUsage", {}), usage)
    asked = detail.attributes
    model = asked.get("gen_ai.response.model", asked.get("gen_ai.request.model"))
    equal("model", facts.get("mlflow.llm.model"), model)
    equal("provider", facts.get("mlflow.llm.provider"), asked.get("gen_ai.provider.name"))
    equal("asked", said_in_parts(facts["gen_ai.input.messages"]), said(detail.input))
    equal("answered", said_in_parts(facts["gen_ai.output.messages"]), said(answer_of(detail)))
    tools = [tool["name"] for tool in facts.get("mlflow.chat.tools", [])]
    equal("tools", tools, [tool["name"] for tool in asked.get("gen_ai.tool.definitions") or ()])


def _unfolded(value: Any) -> Any:
    """MLflow shows a text that is JSON of an object or a list as that, and nothing where a value is empty."""
    said = value
    if isinstance(value, str):
        try:
            said = json.loads(value)
        except ValueError:
            pass
    if not said:
        return None
    return said if isinstance(said, (dict, list)) else value


def _plain(value: dict[str, Any]) -> Any:
    """OpenTelemetry's `AnyValue` as JSON has it."""
    ((kind, inner),) = value.items() if value else (("none", None),)
    if kind == "array_value":
        return [_plain(one) for one in inner.get("values", [])]
    if kind == "kvlist_value":
        return {pair["key"]: _plain(pair.get("value", {})) for pair in inner.get("values", [])}
    return int(inner) if kind == "int_value" else inner


def _assessment(url: str, score: ScoreRow) -> tuple[Any, Any]:
    info = ask(f"{url}/api/3.0/mlflow/traces/get?trace_id=tr-{score.trace_id}")["trace"]["trace_info"]
    (found,) = [one for one in info.get("assessments", []) if one["assessment_name"] == score.name]
    assert found.get("span_id") == score.span_id
    return found["feedback"]["value"], found.get("rationale")


# -- both --------------------------------------------------------------------------------------------


def test_scores_stand_in_both_after_the_program_of_the_documentation(
    phoenix: str, mlflow: str, runs: Path, recorded: Recorded, record_property: Callable[[str, object], None]
) -> None:
    (program,) = re.findall(r"^```python\n(import requests\n.*?)^```", DOCUMENTED.read_text(), re.MULTILINE | re.DOTALL)
    program = program.replace("http://localhost:6006", phoenix).replace("http://localhost:5000", mlflow)
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "AGENTOPS_STORE": str(runs)}, check=True)
    compared = Compared()
    scores = [score for _, _, found in recorded for score in found]
    for score in scores:
        until(lambda score=score: _annotation_in_phoenix(phoenix, score) is not None, 30)  # type: ignore[misc]
        compared.equal(f"{score.name} in Phoenix", _annotation_in_phoenix(phoenix, score), _result(score))
        compared.equal(f"{score.name} in MLflow", _assessment(mlflow, score), _result(score))
    record_property("scores", len(scores))
    _report(record_property, compared, [])


def _report(record_property: Callable[[str, object], None], compared: Compared, details: list[SpanDetail]) -> None:
    if details:
        record_property("spans", len(details))
    record_property("fields compared", compared.count)
    record_property("different", len(compared.different))
    assert not compared.different, "\n".join(compared.different[:10])

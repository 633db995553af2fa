"""`agentops import`."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentops.cli.schemas import SCHEMAS

Agentops = Callable[..., Any]

#: The script that everybody begins with, with a stand-in for the model and a talkative library.
_SCRIPT = """
import json, logging, sys
logging.basicConfig(filename="llm_calls.log", level=logging.INFO)
def call(model, prompt, answer):
    logging.getLogger("httpx").info('HTTP Request: POST https://api.example/v1/messages "HTTP/1.1 200 OK"')
    try:
        if answer is None:
            raise TimeoutError("the service did not answer")
        logging.info(json.dumps({"model": model, "prompt": prompt, "response": answer, "input_tokens": len(prompt),
            "output_tokens": len(answer), "est_cost_usd": round(0.00123, 6), "latency_ms": round(842.4), "ok": True}))
    except Exception as e:
        logging.error(json.dumps({"prompt": prompt, "ok": False, "error": str(e)}))
for n in range(int(sys.argv[1])):
    call("claude-haiku-4-5", f"question {n}", f"answer {n} é")
call("claude-haiku-4-5", "the last one", None)
"""


@pytest.fixture
def log(tmp_path: Path) -> Callable[[int], Path]:
    """Runs the script, which adds to its log; gives the log."""

    def log(calls: int) -> Path:
        subprocess.run([sys.executable, "-c", _SCRIPT, str(calls)], cwd=tmp_path, check=True, timeout=60)
        return tmp_path / "llm_calls.log"

    return log


def spans(agentops: Agentops, *words: str) -> list[dict[str, Any]]:
    """The store's spans as exported, oldest first."""
    return [json.loads(line) for line in reversed(agentops("export", *words).lines)]


def write(path: Path, *lines: object) -> str:
    """A file of lines; what is no text or bytes is written as JSON."""
    parts = [line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
             for line in lines]  # fmt: skip
    path.write_bytes(b"".join(part + b"\n" for part in parts))
    return str(path)


# -- what export wrote -------------------------------------------------------------------------------


def test_what_export_wrote_comes_back_line_for_line(agentops: Agentops, shop: Path, tmp_path: Path) -> None:
    printed = agentops("export", store=shop).out
    (tmp_path / "run.jsonl").write_text(printed)
    done = agentops("import", "run.jsonl")
    assert (done.code, done.err) == (0, "")
    assert done.out == "agentops: 9 spans of 4 traces imported from run.jsonl, 0 were here already\n"
    assert agentops("export").out == printed
    done = agentops("import", "run.jsonl")
    assert done.out == "agentops: 0 spans of 0 traces imported from run.jsonl, 9 were here already\n"
    assert agentops("export").out == printed


def test_an_imported_run_is_read_as_a_recorded_one_is(agentops: Agentops, shop: Path, tmp_path: Path) -> None:
    agentops("export", "-o", "run.jsonl", store=shop)
    agentops("import", "run.jsonl")
    for words in (
        ("ls", "--json"), ("ls", "--json", "session:s-1", "errors>0"), ("ls", "--json", "--spans", "kind:tool"),
        ("search", "--json", "refund order"), ("stats", "--json"), ("show", "latest", "--json"),
    ):  # fmt: skip
        there, here = agentops(*words, store=shop).object, agentops(*words).object
        assert here | {"scores": []} == there | {"scores": []}


def test_compressed_from_standard_input_and_several_at_once(executable: Agentops, shop: Path, tmp_path: Path) -> None:
    printed = executable("export", store=shop).out
    *most, last = printed.splitlines(keepends=True)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("".join(most).encode()))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "agentops"), "import", "a.jsonl.gz", "-"],
        input=last,
        cwd=tmp_path,
        env={**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "agentops: 8 spans of 4 traces imported from a.jsonl.gz, 0 were here already",
        "agentops: 1 span of 1 trace imported from standard input, 0 were here already",
    ]
    assert executable("export").out == printed


def test_a_line_that_cannot_be_taken_is_named_and_the_others_are_imported(
    agentops: Agentops, shop: Path, tmp_path: Path
) -> None:
    good = agentops("export", store=shop).lines
    bad = json.loads(good[0])
    path = write(
        tmp_path / "run.jsonl",
        *good[:4],
        good[4][:-20],
        {**bad, "kind": "toll"},
        {**bad, "start_time_unix_nano": "now"},
        {**bad, "colour": "red"},
        {name: value for name, value in bad.items() if name != "name"},
        {**bad, "trace_id": "xyz"},
        {**bad, "events": [{"time_unix_nano": 2**70, "name": "x", "attributes": {}}]},
        b"\xff\xfe" + good[5].encode(),
        "",
        *good[5:],
    )
    done = agentops("import", path, "--json")
    assert (done.code, done.err) == (1, "")
    SCHEMAS["import"].model_validate(done.object, strict=True)
    (found,) = done.object["files"]
    assert (found["imported"], found["skipped"]) == (8, 8)
    assert [problem["line"] for problem in found["problems"]] == [5, 6, 7, 8, 9, 10, 11, 12]
    said = [problem["message"] for problem in found["problems"]]
    assert said[0].startswith("its JSON object is cut off or damaged: ")
    assert "toll" in said[1] and "kind" in said[1]
    assert "start_time_unix_nano" in said[2] and "colour" in said[3] and "name" in said[4] and "trace_id" in said[5]
    assert "time_unix_nano" in said[6] and said[7] == "not UTF-8"
    again = agentops("import", path)
    assert again.code == 1 and "8 lines skipped (line 5: its JSON object is cut off or damaged: " in again.out


def test_a_file_that_is_cut_off_gives_what_stands_in_front(agentops: Agentops, shop: Path, tmp_path: Path) -> None:
    import random

    lines = agentops("export", store=shop).lines
    noise = [json.loads(lines[-1]) | {"span_id": format(n, "016x"), "input": random.Random(n).randbytes(400).hex()}
             for n in range(1, 400)]  # fmt: skip
    whole = gzip.compress("".join(json.dumps(line) + "\n" for line in noise).encode())
    (tmp_path / "run.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    done = agentops("import", "run.jsonl.gz")
    assert done.code == 1
    count = len(agentops("export").lines)
    assert 50 < count < 399 and done.out.startswith(f"agentops: {count} spans of 1 trace imported")
    assert "cannot be read, and nothing after it: " in done.out


def test_an_import_that_was_killed_is_finished_by_the_next(agentops: Agentops, recording: Any, tmp_path: Path) -> None:
    program = """
        for n in range(600):
            with span(f"run {n}", kind="agent", session=f"s-{n}", input="x" * 500) as run:
                run.add_event("half", {"n": n})
                with span("step"): run.output = {"n": n, "text": "y" * 400}
        span("cut off").__enter__()
        import os
        os._exit(0)
        """
    source = recording(program, tmp_path / "source.db")
    printed = agentops("export", store=source).out
    (tmp_path / "run.jsonl").write_text(printed)
    environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")}
    command = [str(Path(sys.executable).parent / "agentops"), "import", "run.jsonl"]
    journals = tmp_path / "traces.journal"
    for _ in range(5):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and not any(journals.glob("*.journal")):
            time.sleep(0.001)
        process.kill()
        process.wait()
    both = [subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert agentops("export").out == printed


def test_a_run_that_was_running_when_it_was_exported_is_completed_and_nothing_is_doubled(
    agentops: Agentops, recording: Any, tmp_path: Path
) -> None:
    recording(
        """
        import subprocess, sys, os
        command = [os.path.join(os.path.dirname(sys.executable), "agentops"), "export", "-o"]
        with span("run", kind="agent", session="s") as run:
            with span("done"): pass
            run.add_event("before")
            run.set_attribute("a", 1)
            run.checkpoint()
            agentops.flush()
            subprocess.run([*command, "early.jsonl"], check=True)
            with span("later"): pass
            run.add_event("after")
            run.set_attribute("b", 2)
            run.output = "done"
        agentops.flush()
        subprocess.run([*command, "late.jsonl"], check=True)
        """,
        tmp_path / "source.db",
    )
    agentops("import", "early.jsonl")
    assert [span["status"] for span in spans(agentops, "name:run")] == ["ok", "interrupted"]
    early = (tmp_path / "early.jsonl").read_text()
    assert agentops("export").out == early.replace('"status": "running"', '"status": "interrupted"')
    done = agentops("import", "late.jsonl")
    assert done.out == (
        "agentops: 1 span of 1 trace imported from late.jsonl, 2 were here already and 1 of them was completed\n"
    )
    assert agentops("export").out == (tmp_path / "late.jsonl").read_text()
    assert agentops("import", "early.jsonl").out.endswith("2 were here already\n")
    assert agentops("export").out == (tmp_path / "late.jsonl").read_text()
    assert agentops("ls", "--json").object["traces"][0]["open_spans"] == 0


def test_a_run_that_was_running_when_it_was_exported_is_cut_off_where_nobody_goes_on_with_it(
    agentops: Agentops, recording: Any, tmp_path: Path
) -> None:
    recording(
        """
        import subprocess, sys, os
        command = [os.path.join(os.path.dirname(sys.executable), "agentops"), "export", "-o", "early.jsonl"]
        span("run", kind="agent").__enter__()
        subprocess.run(command, check=True)
        os._exit(0)
        """,
        tmp_path / "source.db",
    )
    agentops("export", "-o", "late.jsonl", store=tmp_path / "source.db")
    for name in ("early", "late", "early"):
        assert agentops("import", f"{name}.jsonl").code == 0
        assert [span["status"] for span in spans(agentops)] == ["interrupted"]
        assert agentops("ls", "--json").object["traces"][0]["open_spans"] == 0


def test_usage_and_cost_of_a_line_that_was_written_by_hand_count(agentops: Agentops, tmp_path: Path) -> None:
    span = {"trace_id": "a" * 32, "span_id": "b" * 16, "name": "chat", "kind": "llm", "status": "ok",
            "start_time_unix_nano": 10**18, "end_time_unix_nano": 10**18 + 5,
            "usage": {"input_tokens": 7, "output_tokens": 3}, "cost_usd": 0.5}  # fmt: skip
    assert agentops("import", write(tmp_path / "run.jsonl", span)).code == 0
    (trace,) = agentops("ls", "--json").object["traces"]
    assert (trace["input_tokens"], trace["output_tokens"], trace["cost_usd"]) == (7, 3, 0.5)
    (found,) = spans(agentops)
    assert (found["usage"], found["cost_usd"]) == (span["usage"], 0.5)


# -- a log of calls ----------------------------------------------------------------------------------


def test_the_log_of_the_script_that_everybody_begins_with_is_imported(agentops: Agentops, log: Any) -> None:
    began_ns = time.time_ns() - 10**9
    log(3)
    done = agentops("import", "llm_calls.log")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "agentops: 4 calls imported from llm_calls.log, 0 were here already, 4 lines skipped (line 1: no JSON object; "
        "line 3: no JSON object; line 5: no JSON object; …)\n"
    )
    *answered, failed = spans(agentops)
    for n, span in enumerate(answered):
        assert (span["name"], span["kind"], span["status"]) == ("chat claude-haiku-4-5", "llm", "ok")
        assert (span["input"], span["output"]) == (f"question {n}", f"answer {n} é")
        assert span["usage"] == {"input_tokens": 10, "output_tokens": 10}
        assert span["attributes"] == {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "claude-haiku-4-5",
            "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 10, "llm.cost.total": 0.00123,
        }  # fmt: skip
        assert span["cost_usd"] == 0.00123
        assert span["end_time_unix_nano"] - span["start_time_unix_nano"] == 842_000_000
        assert began_ns < span["end_time_unix_nano"] < time.time_ns() + 10**9
        assert span["parent_span_id"] is None
    assert len({span["trace_id"] for span in answered}) == 3
    assert (failed["name"], failed["status"], failed["input"]) == ("chat", "error", "the last one")
    assert failed["exception"]["message"] == "the service did not answer"
    assert "the service did not answer" in agentops("ls", "--spans", "status:error").out


def test_a_log_that_has_grown_adds_what_is_new(agentops: Agentops, log: Any, tmp_path: Path) -> None:
    log(2)
    assert "3 calls imported" in agentops("import", "llm_calls.log").out
    assert "0 calls imported from llm_calls.log, 3 were here already" in agentops("import", "llm_calls.log").out
    log(3)  # two of its calls and the failed one are in the log already, word for word: these are new calls
    assert "4 calls imported from llm_calls.log, 3 were here already" in agentops("import", "llm_calls.log").out
    (tmp_path / "copy.gz").write_bytes(gzip.compress((tmp_path / "llm_calls.log").read_bytes()))
    assert "0 calls imported from copy.gz, 7 were here already" in agentops("import", "copy.gz").out
    assert len(spans(agentops)) == 7


def test_equal_lines_of_a_log_that_was_rotated_are_calls_of_their_own(agentops: Agentops, tmp_path: Path) -> None:
    call = {"prompt": "p", "ok": False, "error": "busy"}
    write(tmp_path / "app.log.1", call, call)
    write(tmp_path / "app.log", call)
    assert agentops("import", "app.log.1", "app.log").code == 0
    assert len(spans(agentops)) == 3
    agentops("import", "app.log")
    assert len(spans(agentops)) == 3


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ('2026-11-24 10:00:01,123 - INFO - {"model": "m", "prompt": "p"}', "2026-11-24T10:00:01.123"),
        ('[2026-11-24T10:00:01.5+02:00] app: {"model": "m", "prompt": "p"} (took a while)', "2026-11-24T08:00:01.500"),
        ('{"model": "m", "prompt": "p", "timestamp": 1795514401.25}', "2026-11-24T10:00:01.250"),
        ('{"model": "m", "prompt": "p", "ts": 1795514401250}', "2026-11-24T10:00:01.250"),
        ('{"model": "m", "prompt": "p", "created_at": "2026-11-24T10:00:01Z"}', "2026-11-24T10:00:01.000"),
        ('1999-01-01 00:00:00 {"model": "m", "prompt": "p", "time": "2026-11-24 10:00"}', "2026-11-24T10:00:00.000"),
        ('INFO {not json} {"model": "m", "prompt": "p", "time": "2026-11-24 10:00"} {"a": 1}', "2026-11-24T10:00:00.0"),
        ('\x00\x00\x00INFO {"model": "m", "prompt": "p", "time": "2026-11-24 10:00"}', "2026-11-24T10:00:00.0"),
        ('{"level": "info", "message": "{\\"model\\": \\"m\\", \\"prompt\\": \\"p\\", \\"ts\\": 1795514401}"}',
         "2026-11-24T10:00:01.0"),
    ],
)  # fmt: skip
def test_whatever_logging_put_around_the_object(
    agentops: Agentops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, end: str
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        agentops("import", write(tmp_path / "a.log", line))
        (found,) = agentops("ls", "--spans", "--json").object["spans"]
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert (found["name"], found["model"]) == ("chat m", "m")
    assert found["end_time"].startswith(end)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"messages": [{"role": "user", "content": "hi"}], "completion": {"text": "yo"}},
         {"input": [{"role": "user", "content": "hi"}], "output": {"text": "yo"}}),
        ({"question": "q", "answer": "a", "usage": {"prompt_tokens": 3, "completion_tokens": "4", "total_tokens": 7}},
         {"input": "q", "output": "a", "usage": {"input_tokens": 3, "output_tokens": 4}}),
        ({"input": "q", "text": "a", "cost": "$0.25"}, {"cost_usd": 0.25}),
        ({"model": "m", "prompt": "p", "status": "failed"}, {"status": "error", "exception": None}),
        ({"model": "m", "prompt": "p", "status": 503, "error": {"type": "Busy", "message": "later"}},
         {"status": "error", "exception": {"type": "Busy", "message": "later", "stacktrace": ""}}),
        ({"model": "m", "prompt": "p", "success": True, "error": None}, {"status": "ok", "exception": None}),
        ({"model": "m", "prompt": "p", "error": "no"}, {"status": "error"}),
        ({"model": "m", "prompt": "p", "session_id": 17, "user": "ada"}, {"session": "17", "user": "ada"}),
        ({"model": "m", "prompt": "p", "tokens_in": -1, "latency_ms": "soon", "est_cost_usd": [], "ok": {}, "ts": True},
         {"status": "ok", "cost_usd": None, "usage": None}),
    ],
)  # fmt: skip
def test_the_names_that_people_give(
    agentops: Agentops, tmp_path: Path, call: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert agentops("import", write(tmp_path / "a.log", call)).code == 0
    (found,) = spans(agentops)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("field", "took_ms"),
    [({"latency": 842}, 842), ({"latency": 1.5}, 1500), ({"latency": 842.4}, 842.4), ({"duration_s": 2}, 2000),
     ({"elapsed": 0.25}, 250), ({"duration_ms": 12.5}, 12.5), ({"latency_ms": -4}, 0), ({"latency": 1e300}, 0)],
)  # fmt: skip
def test_how_long_a_call_took(agentops: Agentops, tmp_path: Path, field: dict[str, Any], took_ms: float) -> None:
    agentops("import", write(tmp_path / "a.log", {"model": "m", "prompt": "p", **field}))
    (found,) = agentops("ls", "--spans", "--json").object["spans"]
    assert found["duration_ns"] == round(took_ms * 1e6)


def test_what_else_a_line_says_is_kept(agentops: Agentops, tmp_path: Path) -> None:
    call = {"model": "m", "prompt": "p", "temperature": 0.2, "request_id": "r-1", "latency_ms": "soon",
            "usage": {"input_tokens": 1, "service_tier": "standard"}, "deep": {"a": [1, {"b": None}]}}  # fmt: skip
    agentops("import", write(tmp_path / "a.log", call))
    (found,) = spans(agentops)
    for name in ("temperature", "request_id", "latency_ms", "deep"):
        assert found["attributes"][name] == call[name]
    assert found["attributes"]["usage"] == {"service_tier": "standard"}


def test_calls_without_any_time_keep_their_order(agentops: Agentops, tmp_path: Path) -> None:
    agentops("import", write(tmp_path / "a.log", *({"model": "m", "prompt": f"p {n}"} for n in range(5))))
    assert [span["input"] for span in spans(agentops)] == [f"p {n}" for n in range(5)]


def test_hostile_lines_cost_themselves_alone(agentops: Agentops, tmp_path: Path) -> None:
    deep = '{"model": "m", "prompt": ' + "[" * 100_000 + "]" * 100_000 + "}"
    path = write(
        tmp_path / "a.log", {"model": "m", "prompt": "first"}, b"\xff{}", deep, '{"model": ', "[1, 2]", '"text"',
        "{}" * 500,
        "{" * 100_000, b"\x00" * 1000, '{"n": ' + "1" * 5000 + "}", {"level": "info", "text": "no call"},
        {"model": "m", "prompt": "\x1b[31m\ud800", "latency_ms": float("nan")}, '{"model": 7, "prompt": 1e999}',
    )  # fmt: skip
    done = agentops("import", path)
    assert (done.code, done.err) == (0, "")
    assert (
        "3 calls imported" in done.out and "10 lines skipped (line 2: not UTF-8; line 3: nested too deeply;" in done.out
    )
    assert spans(agentops)[0]["input"] == "first"
    found = agentops("import", path, "--json").object["files"][0]
    assert [problem["line"] for problem in found["problems"]] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]


def test_lines_of_any_depth_are_taken_or_said_to_be_too_deep(agentops: Agentops, tmp_path: Path) -> None:
    def deep(depth: int) -> str:
        return '{"a":' * depth + "1" + "}" * depth

    base = f'"trace_id": "{"a" * 32}", "kind": "tool", "name": "x", "status": "running", "start_time_unix_nano": 1'
    for depth in range(700, 1000, 20):
        value, parent, child = deep(depth), f"{depth:016x}", f"{depth + 1:016x}"
        more = f'"end_time_unix_nano": null, "metadata": {value}'
        event = f'{{"time_unix_nano": 1, "name": "e", "attributes": {value}}}'
        calls = [f'{{"model": "m", "prompt": "{depth}", "error": {value}, "more": {value}}}']
        lines = [
            f'{{{base}, "span_id": "{parent}", {more}}}',
            f'{{{base}, "span_id": "{child}", "parent_span_id": "{parent}", {more}, "events": [{event}]}}',
        ]
        for _ in range(2):
            for name, texts in (("a.jsonl", lines), ("a.log", calls)):
                done = agentops("import", write(tmp_path / name, *texts))
                assert done.code in (0, 1) or "nested too deeply" in done.err, done.err
    assert len(spans(agentops)) > 20


def test_a_line_that_is_too_long_is_refused_with_its_number(
    agentops: Agentops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import agentops.importers.lines as reading

    monkeypatch.setattr(reading, "LINE_BYTES_MAX", 1 << 20)
    good = {"model": "m", "prompt": "p"}
    path = write(tmp_path / "a.log", good, {"model": "m", "prompt": "x" * (5 << 20)}, {"model": "m", "prompt": "last"})
    done = agentops("import", path)
    assert "2 calls imported" in done.out and "1 line skipped (line 2: longer than 1 MB)" in done.out
    assert done.code == 1
    assert {span["input"] for span in spans(agentops)} == {"p", "last"}


# -- what is neither ---------------------------------------------------------------------------------


def test_a_file_that_holds_neither_is_an_error_and_makes_no_store(agentops: Agentops, tmp_path: Path) -> None:
    done = agentops("import", write(tmp_path / "notes.txt", "buy milk", {"level": "info", "message": "started"}))
    assert done.code == 2
    assert "holds neither what `agentops export --to jsonl` wrote nor a log of model calls" in done.err
    assert "(line 1: no JSON object)" in done.err
    assert not (tmp_path / "traces.db").exists()


def test_a_file_that_is_not_there_is_said_before_anything_is_written(agentops: Agentops, tmp_path: Path) -> None:
    good = write(tmp_path / "a.log", {"model": "m", "prompt": "p"})
    done = agentops("import", good, "missing.log")
    assert (done.code, done.out) == (2, "")
    assert done.err == "agentops: missing.log cannot be read: No such file or directory\n"
    assert not (tmp_path / "traces.db").exists()
    assert agentops("import", str(tmp_path)).err.endswith("is a folder: name the files in it\n")
    assert agentops("import").code == 2


def test_an_empty_file_is_no_error(agentops: Agentops, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    done = agentops("import", "empty.jsonl")
    assert (done.code, done.out) == (
        0,
        "agentops: 0 spans of 0 traces imported from empty.jsonl, 0 were here already\n",
    )


@pytest.mark.parametrize("room", [1_000, 66_000, 140_000, 200_000, 300_000])
def test_a_full_disk_is_said_and_the_import_goes_on_when_there_is_room(
    agentops: Agentops, shop: Path, tmp_path: Path, room: int
) -> None:
    printed = agentops("export", store=shop).out
    (tmp_path / "run.jsonl").write_text(printed)
    program = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, resource.RLIM_INFINITY))
from agentops.cli.main import main
sys.exit(main(["import", "run.jsonl"]))
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3 or (done.returncode == 0 and room == 300_000), done.stderr
    assert "Traceback" not in done.stderr
    assert agentops("import", "run.jsonl").code == 0
    assert agentops("export").out == printed

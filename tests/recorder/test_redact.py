"""`init(redact=...)`: every text passes it before anything is written, whatever door it came in by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import zstandard

import agentops
from agentops import score, span
from agentops.store.packing import index_words
from agentops.store.schema import connect

CANARY = "canary-4012-8888"


def everything_on_disk(store: Path) -> bytes:
    """All bytes of store and journals, with what is compressed opened."""
    import sqlite3

    connection = connect(str(store))
    index_words(connection)
    assert connection.execute("SELECT 1 FROM parts").fetchone()
    connection.close()
    raw = b"".join(path.read_bytes() for path in store.parent.rglob("traces*") if path.is_file())
    raw += b"".join(path.read_bytes() for path in store.parent.rglob("*.journal") if path.is_file())
    connection = sqlite3.connect(store)
    for (block,) in connection.execute("SELECT data FROM blocks"):
        raw += zstandard.ZstdDecompressor().decompress(block)
    connection.close()
    return raw


def test_no_door_lets_a_text_past_the_redactor(store: Path) -> None:
    agentops.init(redact=lambda text: text.replace(CANARY, "<gone>"))
    long = "clean words " * 60
    with pytest.raises(ValueError), span(f"name {CANARY}", session=CANARY, user=CANARY, tags=[CANARY],
                                         metadata={CANARY: CANARY}, attributes={CANARY: CANARY}) as s:  # fmt: skip
        s.input = {"deep": [CANARY, {CANARY: long + CANARY}], "bytes": CANARY.encode()}
        s.output = long + CANARY
        s.set_attribute("list", [CANARY])
        s.add_event(CANARY, {CANARY: [CANARY]})
        s.add_link(s.get_span_context(), {"why": CANARY})
        s.update_name(f"new {CANARY}")
        score(CANARY, CANARY, comment=CANARY)
        try:
            raise KeyError(CANARY)
        except KeyError as cause:
            raise ValueError(CANARY) from cause
    agentops.flush()
    assert CANARY.encode() not in everything_on_disk(store)
    agentops.shutdown()
    disk = everything_on_disk(store)
    assert CANARY.encode() not in disk
    assert b"<gone>" in disk
    assert b"clean words" in disk


def test_spans_of_other_libraries_pass_it_too(program: Any, tmp_path: Path) -> None:
    done = program(
        f"""
        import agentops
        from opentelemetry import trace
        agentops.init(otel=True, redact=lambda text: text.replace("{CANARY}", "<gone>"))
        with trace.get_tracer("other").start_as_current_span("x {CANARY}") as s:
            s.set_attribute("k", "{CANARY}")
            s.add_event("{CANARY}", {{"e": "{CANARY}"}})
            s.set_status(trace.Status(trace.StatusCode.ERROR, "{CANARY}"))
        agentops.shutdown()
        """
    )
    assert done.returncode == 0, done.stderr
    assert CANARY.encode() not in everything_on_disk(tmp_path / "traces.db")


def test_what_a_failing_redactor_could_not_check_is_withheld(store: Path, spans: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "0")

    def broken(text: str) -> str:
        if CANARY in text:
            raise RuntimeError("cannot tell")
        return text

    agentops.init(redact=broken)
    with span("pay", input={"card": CANARY}) as s:
        s.set_attribute("clean", "yes")
        s.output = f"paid {CANARY}"
    (record,) = spans()
    assert "withheld" in record["input"] and "withheld" in record["output"]
    assert CANARY.encode() not in everything_on_disk(store)


def test_a_redactor_has_to_be_a_name_an_object_or_a_function() -> None:
    with pytest.raises(agentops.UsageError, match="function"):
        agentops.init(redact=7)  # type: ignore[arg-type]
    with pytest.raises(agentops.AgentopsError, match="pii"):
        agentops.init(redact="pie")


def test_structures_stay_what_they_were(store: Path, spans: Any) -> None:
    agentops.init(redact=lambda text: text.replace("secret", "*"))
    value = {"a": [1, 2.5, None, True, {"b": "secret", "c": []}], "n": 2**70}
    with span("x", input=value):
        pass
    assert spans()[0]["input"] == {"a": [1, 2.5, None, True, {"b": "*", "c": []}], "n": 2**70}

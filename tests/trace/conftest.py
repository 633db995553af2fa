"""For the tests beside OpenTelemetry: a program with an application's set-up in it, and what it recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: Each program is a process of its own, since a provider can be set once.
APPLICATION = """
import time
real_time, shift = time.time_ns, [0]
time.time_ns = lambda: real_time() + shift[0]       # the wall clock that everything in the program sees
import agentops
from agentops import span
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, Sampler, SamplingResult
exporter = InMemorySpanExporter()
def application(sampler=ALWAYS_ON):
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider
def other(name):
    return trace.get_tracer("other").start_as_current_span(name)
def exported():
    return {s.name: s for s in exporter.get_finished_spans()}
"""


@pytest.fixture
def recorded_all(program: Any, read: Any, tmp_path: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Runs `APPLICATION` and what is given; gives all that was recorded."""

    def recorded(body: str) -> list[dict[str, Any]]:
        done = program(APPLICATION + body + "\nagentops.shutdown()\n")
        assert done.returncode == 0, done.stderr
        assert "agentops" not in done.stderr
        records: list[dict[str, Any]] = read(tmp_path / "traces.db")
        return records

    return recorded


@pytest.fixture
def recorded(recorded_all: Callable[[str], list[dict[str, Any]]]) -> Callable[[str], dict[str, dict[str, Any]]]:
    """The same by name, where each name is there once."""

    def recorded(body: str) -> dict[str, dict[str, Any]]:
        records = recorded_all(body)
        found = {record["name"]: record for record in records}
        assert len(found) == len(records), "a span is there twice"
        return found

    return recorded

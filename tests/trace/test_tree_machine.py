"""Whatever a program is made of, its tree is the one that it has."""

from __future__ import annotations

import gc
import secrets
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import agentops
from agentops.store.reader import Reader
from tests.trace.random_trees import PLAIN, WAITING, WAITING_FOR_PLAIN, Expected, Program, Step, programs

QUIET = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
PROOF_S = 600


@pytest.fixture(params=["alone", "beside an SDK"])
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With no other tracing in the program, and with an application's provider in force."""
    if request.param != "alone":
        from opentelemetry import trace
        from opentelemetry.sdk.trace import RandomIdGenerator, TracerProvider

        class Unseeded(RandomIdGenerator):
            """Hypothesis seeds the generator that the SDK takes its ids from: they would repeat."""

            def generate_trace_id(self) -> int:
                return secrets.randbits(128)

            def generate_span_id(self) -> int:
                return secrets.randbits(64)

        monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider(id_generator=Unseeded()))
    return str(request.param)


def check(store: Path, program: Program) -> None:
    program.run()
    gc.collect()
    assert agentops.flush()
    recorded: dict[str, Expected] = {}
    with Reader(str(store)) as reader:
        for trace in program.traces:
            spans = reader.spans(reader.trace(trace))
            names = {one.span_id: one.name for one in spans}
            for one in spans:
                assert one.name not in recorded, "a span is there twice"
                parent = None if one.parent_id is None else names.get(one.parent_id, "unknown")
                recorded[one.name] = Expected(parent, one.status)
    assert recorded == program.expected
    assert program.complaints == []


def test_every_construct_makes_its_part_of_the_tree(store: Path, provider: str) -> None:
    for does in (*PLAIN, *WAITING, *WAITING_FOR_PLAIN):
        check(store, Program([Step(does, [Step("span", [], [])], [Step("generator", [], [])])], 1))


@QUIET
@given(programs(), st.integers(0, 2**32))
def test_a_random_programs_tree_is_the_one_that_it_has(
    store: Path, provider: str, steps: list[Step], order: int
) -> None:
    check(store, Program(steps, order))


@pytest.mark.proof
def test_random_programs_for_ten_minutes(
    store: Path, provider: str, record_property: Callable[[str, object], None]
) -> None:
    counted: Counter[str] = Counter()
    began, number = time.monotonic(), 0

    def one(steps: list[Step], order: int) -> None:
        program = Program(steps, order)
        check(store, program)
        counted["programs"] += 1
        counted["spans"] += len(program.expected)

    while time.monotonic() - began < PROOF_S / 2:
        number += 1
        many: Any = settings(QUIET, max_examples=500, derandomize=False, database=None)
        seed(number)(many(given(programs(4), st.integers(0, 2**32))(one)))()
    for what, count in counted.items():
        record_property(what, count)

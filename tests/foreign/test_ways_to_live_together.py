"""Beside an application's own OpenTelemetry, whoever came first: one tree, in both places."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Compared = Callable[..., Any]
UNDER_RUN = (str(Path(sys.executable).parent / "agentops"), "run", "--")

TREE = {
    "ours root": None,
    "theirs": "ours root",
    "ours llm": "theirs",
    "theirs inside": "ours llm",
    "theirs fails": "theirs",
    "theirs root": None,
    "ours below": "theirs root",
    "theirs below": "ours below",
}
OURS = {"ours root": None, "ours llm": "ours root", "ours below": None}


def test_without_a_provider_ours_are_in_one_tree_and_the_global_one_stays_free(outcome: Compared) -> None:
    found = outcome("work()\nassert trace._TRACER_PROVIDER is None\ndone()\n")
    assert found.parents() == OURS


@pytest.mark.parametrize(
    "order",
    [
        "application()\nwork()",
        "application()\ninit(otel=True)\nwork()",
        "init(otel=True)\napplication()\nwork()",
        "tracer = trace.get_tracer('other')\nwith tracer.start_as_current_span('nobody'): pass\napplication()\nwork()",
        "with span('before') if not WITHOUT else span(''): pass\nmemory.clear()\napplication()\nwork()",
    ],
    ids=["before", "before and init", "after init", "after a tracer was taken", "after the first span"],
)
def test_beside_the_applications_provider_each_span_is_in_both_places(order: str, compared: Compared) -> None:
    found = compared(order + "\ndone()\n")
    found.stored = [one for one in found.stored if one["name"] != "before"]
    found.check_one_tree_in_both_places()
    assert found.parents() == TREE


def test_a_provider_that_is_set_while_a_span_of_ours_is_open_gets_no_orphans(compared: Compared) -> None:
    found = compared(
        """
        with span("open before"):
            application()
            work()
        done()
        """
    )
    assert not found.orphans
    assert found.parents() == {
        **TREE, "ours root": "open before", "theirs root": "open before", "open before": None,
    }  # fmt: skip
    assert {one["name"] for one in found.exported} == {*TREE, "open before"}


def test_with_ours_the_application_sets_its_own_while_a_span_is_open(compared: Compared) -> None:
    found = compared(
        """
        import io, logging
        log = io.StringIO()
        logging.basicConfig(stream=log, level=logging.WARNING)
        init(otel=True)
        early = trace.get_tracer("early")
        with span("open before"):
            with early.start_as_current_span("theirs early") if not WITHOUT else span(""):
                application()
                work()
        with early.start_as_current_span("theirs late"):
            pass
        assert not log.getvalue(), log.getvalue()
        done()
        """
    )
    assert not found.orphans
    assert found.parents() == {
        **TREE,
        "open before": None,
        "theirs early": "open before",
        "ours root": "theirs early",
        "theirs root": "theirs early",
        "theirs late": None,
    }
    assert {one["name"] for one in found.exported} == {*TREE, "theirs late", "open before"}


@pytest.mark.parametrize("first", ["", "init(otel=True)\n", "instrument()\n"], ids=["plain", "init", "instrument"])
def test_under_agentops_run_the_programs_own_set_up_holds(first: str, outcome: Compared) -> None:
    without = outcome("application()\nwork()\ndone()\n", without=True)
    found = outcome(first + "application()\nwork()\ndone()\n", under=UNDER_RUN)
    assert found.theirs == without.theirs
    assert not found.orphans
    names = {one["span_id"]: one["name"] for one in found.stored}
    stored = {one["name"]: names.get(one["parent_span_id"]) for one in found.stored}
    assert {name: stored[name] for name in TREE} == TREE
    assert len(found.stored) == len(TREE) + 1  # the program's own


def test_under_agentops_run_a_program_that_knows_nothing_of_it_is_in_both_places(outcome: Compared) -> None:
    program = "application()\nwith other('first'): pass\nwork()\ndone()\n"
    without = outcome(program, without=True)
    found = outcome(program, without=True, under=UNDER_RUN)
    assert found.theirs == without.theirs
    assert not found.orphans
    found.stored = [one for one in found.stored if one["name"] != "program.py"]
    found.check_one_tree_in_both_places()


@pytest.mark.parametrize("first", ["application()", "init(otel=True)"], ids=["the application's", "ours"])
def test_a_disabled_sdk_leaves_ours_in_one_tree(first: str, outcome: Compared) -> None:
    found = outcome(f"{first}\nwork()\ndone()\n", OTEL_SDK_DISABLED="true")
    assert not found.exported
    assert found.parents() == OURS


SAMPLERS = {
    "none": ("ALWAYS_OFF", ""),
    "by trace": ("TraceIdRatioBased(0.1)", ""),
    "by parent": ("ParentBased(TraceIdRatioBased(0.1))", ""),
    "by parent, after init": ("ParentBased(TraceIdRatioBased(0.1))", "init(otel=True)"),
    "by name": ("ByName()", ""),
}


@pytest.mark.parametrize(("sampler", "first"), SAMPLERS.values(), ids=SAMPLERS)
def test_an_application_that_samples_exports_the_share_that_it_did_without_us(
    sampler: str, first: str, compared: Compared
) -> None:
    found = compared(
        f"""
        from opentelemetry.sdk.trace.sampling import *
        class ByName(Sampler):
            def should_sample(self, parent_context, trace_id, name, *args, **more):
                return SamplingResult(Decision.DROP if name == "theirs" else Decision.RECORD_AND_SAMPLE)
            def get_description(self): return "by name"
        {first}
        application({sampler})
        for _ in range(100):
            work()
        done()
        """
    )
    ours = [one for one in found.stored if one["name"].startswith("ours")]
    assert len(ours) == 300
    assert len({one["span_id"] for one in found.stored}) == len(found.stored)

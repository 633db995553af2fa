"""The set-up functions of others, each with its package: before our spans, between them, after them, and twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.proof

#: Each defines `sink`, `set_up()`, `theirs(name)` for a span by its own way, and how often a span is exported.
SET_UPS = {
    "logfire": """
        import logfire
        sink = None
        def set_up(share=1.0):
            logfire.configure(
                send_to_logfire=False, console=False, additional_span_processors=[SimpleSpanProcessor(memory)],
                advanced=logfire.AdvancedOptions(id_generator=ids), sampling=logfire.SamplingOptions(head=share),
            )
        def theirs(name): return logfire.span(name)
    """,
    "phoenix": """
        import phoenix.otel
        sink = Sink()
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        def set_up(share=1.0):
            phoenix.otel.register(
                endpoint=sink.url + "/v1/traces", protocol="http/protobuf", verbose=False, id_generator=ids,
                sampler=ParentBased(TraceIdRatioBased(share)),
            )
        def theirs(name): return other(name, attributes={"openinference.span.kind": "CHAIN"})
    """,
    "langfuse": """
        import langfuse
        sink = Sink()
        def set_up(share=1.0):
            langfuse.Langfuse(
                public_key="pk", secret_key="sk", base_url=sink.url, sample_rate=share, id_generator=ids
            )
        def theirs(name): return langfuse.get_client(public_key="pk").start_as_current_observation(name=name)
    """,
}
WORK = """
        def work():
            with span("ours", kind="agent", session="s-1", input="a question"):
                with theirs("theirs"):
                    with span("ours inside", kind="llm"):
                        with theirs("theirs inside"):
                            pass
                    try:
                        with theirs("theirs fails"):
                            raise LookupError("nothing there")
                    except LookupError:
                        pass
            with theirs("theirs root"):
                with span("ours below"):
                    pass
"""
TREE = {
    "ours": None,
    "theirs": "ours",
    "ours inside": "theirs",
    "theirs inside": "ours inside",
    "theirs fails": "theirs",
    "theirs root": None,
    "ours below": "theirs root",
}
ORDERS = {
    "before": "set_up()\nwork()",
    "before and init": "set_up()\ninit(otel=True)\nwork()",
    "after init": "init(otel=True)\nset_up()\nwork()",
    "after init and a span": "init(otel=True)\nwith span('first'): pass\nset_up()\nwork()",
    "after a span": "with span('first'): pass\nset_up()\nwork()",
    "twice": "set_up()\nset_up()\nwork()",
    "again": "set_up()\nwith span('first'): pass\nset_up()\nwork()",
}

Compared = Callable[..., Any]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("library", SET_UPS)
def test_each_span_is_in_both_places_once(library: str, order: str, foreign: str, compared: Compared) -> None:
    found = compared(program(library, ORDERS[order]), python=foreign)
    found.stored = [one for one in found.stored if one["name"] != "first"]
    found.exported = [one for one in found.exported if one["name"] != "first"]
    found.check_one_tree_in_both_places()
    assert found.parents() == TREE


@pytest.mark.parametrize("library", SET_UPS)
def test_a_set_up_while_a_span_of_ours_is_open(library: str, foreign: str, compared: Compared) -> None:
    found = compared(program(library, "with span('open'):\n    set_up()\n    work()"), python=foreign)
    found.check_one_tree_in_both_places()
    assert found.parents() == {**TREE, "open": None, "ours": "open", "theirs root": "open"}


@pytest.mark.parametrize("first", ["", "with span('first'): pass\n"], ids=["before", "after a span of ours"])
def test_a_processor_hung_on_the_applications_provider_gets_the_same_tree(
    first: str, foreign: str, compared: Compared
) -> None:
    order = f"application()\n{first}set_up()\nmemory.clear()\nwork()\n"
    order += "assert {one.name for one in memory.get_finished_spans()} == {one['name'] for one in sent()}"
    found = compared(
        program(
            "langfuse", f"def sent():\n    trace.get_tracer_provider().force_flush()\n    return sink.spans\n{order}"
        ),
        python=foreign,
    )
    found.stored = [one for one in found.stored if one["name"] != "first"]
    found.check_one_tree_in_both_places()
    assert found.parents() == TREE


@pytest.mark.parametrize("library", SET_UPS)
def test_what_is_sampled_is_what_was_sampled_without_us(library: str, foreign: str, compared: Compared) -> None:
    order = """
set_up(0.1)
for _ in range(100):
    with span("ours", kind="agent"):
        with theirs("theirs"):
            with span("ours inside", kind="llm"):
                with theirs("theirs inside"):
                    pass
"""
    found = compared(program(library, order), python=foreign)
    assert 0 < len(found.theirs) < 30
    names = Counter(one["name"] for one in found.stored)
    assert names["ours"] == names["ours inside"] == 100
    known = {one["span_id"] for one in found.stored}
    assert all(one["parent_span_id"] in known or one["name"] == "ours" for one in found.stored)


@pytest.mark.parametrize("knows", [True, False], ids=["with spans of ours", "knows nothing of us"])
@pytest.mark.parametrize("library", SET_UPS)
def test_a_set_up_under_agentops_run(library: str, knows: bool, foreign: str, outcome: Compared) -> None:
    run = (str(Path(foreign).parent / "agentops"), "run", "--")
    without = outcome(program(library, "set_up()\nwork()"), without=True, python=foreign)
    found = outcome(program(library, "set_up()\nwork()"), without=not knows, python=foreign, under=run)
    assert found.theirs == without.theirs
    found.stored = [one for one in found.stored if one["name"] != "program.py"]
    found.check_one_tree_in_both_places()
    assert set(found.parents()) == {name for name in TREE if knows or name.startswith("theirs")}


def program(library: str, order: str) -> str:
    lines = "\n".join(" " * 8 + line for line in [*order.splitlines(), "done(sink)"])
    return f"{SET_UPS[library]}\n{WORK}\n{lines}\n"

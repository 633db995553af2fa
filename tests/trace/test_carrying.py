"""Where Python carries no context: `carry`, and `traceparent` to other processes and from elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import multiprocessing
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import agentops
from agentops import carry, current_span, span, traceparent

ELSEWHERE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def work(name: str = "work") -> str:
    """Works."""
    with span(name):
        return variable.get()


def in_another_process(name: str) -> int:
    with span(name):
        pass
    agentops.flush()
    return os.getpid()


def parents(records: list[dict[str, Any]]) -> dict[str, str | None]:
    names = {record["span_id"]: record["name"] for record in records}
    return {record["name"]: names.get(record["parent_span_id"]) for record in records}


def in_a_thread(job: Callable[[], Any]) -> None:
    thread = threading.Thread(target=job)
    thread.start()
    thread.join()


def in_an_executor(job: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(1) as executor:
        executor.submit(job).result()


def in_the_loops_executor(job: Callable[[], Any]) -> None:
    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, job)

    contextvars.Context().run(asyncio.run, main())


def in_a_callback(job: Callable[[], Any]) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(job)
        await asyncio.sleep(0.01)

    contextvars.Context().run(asyncio.run, main())


def by_a_queue(job: Callable[[], Any]) -> None:
    jobs: queue.Queue[Callable[[], Any]] = queue.Queue()
    thread = threading.Thread(target=lambda: jobs.get()())
    thread.start()
    jobs.put(job)
    thread.join()


WAYS = [in_a_thread, in_an_executor, in_the_loops_executor, in_a_callback, by_a_queue]


@pytest.mark.parametrize("run", WAYS)
def test_what_is_carried_records_below_the_span_it_was_carried_from(run: Callable[..., None], spans: Any) -> None:
    with span("root"):
        job = carry(work)
    with span("other"):
        run(job)
    assert parents(spans()) == {"root": None, "work": "root", "other": None}


@pytest.mark.parametrize("run", WAYS)
def test_what_is_not_carried_begins_a_trace_of_its_own(run: Callable[..., None], spans: Any) -> None:
    if run is in_a_callback:
        pytest.skip("asyncio carries it itself, from where call_soon is called")
    with span("root"):
        run(work)
    assert parents(spans()) == {"root": None, "work": None}


def test_the_programs_own_context_variables_go_along_and_do_not_come_back(spans: Any) -> None:
    token = variable.set("set")
    try:
        job = carry(work)
        change = carry(lambda: variable.set("changed"))
    finally:
        variable.reset(token)
    assert (job(), variable.get()) == ("set", "unset")
    change()
    assert (job(), variable.get()) == ("set", "unset")


def test_it_may_be_called_by_many_threads_at_once_and_in_itself(spans: Any) -> None:
    together = threading.Barrier(4)

    def meet(name: str) -> None:
        with span(name):
            together.wait(10)

    def again(depth: int) -> None:
        with span(f"depth {depth}"):
            if depth:
                job(depth - 1)

    with span("root"):
        job = carry(again)
        with ThreadPoolExecutor(4) as executor:
            list(executor.map(carry(meet), "abcd"))
        in_a_thread(functools.partial(job, 2))
    found = parents(spans())
    assert {found[name] for name in "abcd"} == {"root"}
    assert [found[f"depth {n}"] for n in range(3)] == ["root"] * 3


def test_it_is_the_function_to_whoever_looks_at_it() -> None:
    job = carry(work)
    assert inspect.signature(job) == inspect.signature(work)
    assert (job.__name__, job.__doc__, job.__wrapped__) == ("work", "Works.", work)  # type: ignore[attr-defined]


def test_an_exception_comes_out_as_it_is(spans: Any) -> None:
    def fails() -> None:
        raise LookupError("no such order")

    with pytest.raises(LookupError, match="no such order"):
        carry(fails)()


def test_what_a_coroutine_function_does_is_carried_too(spans: Any) -> None:
    async def handle(item: str) -> str:
        with span(item):
            await asyncio.sleep(0)
            with span(f"{item} inside"):
                return item

    async def consume(jobs: asyncio.Queue[Any]) -> None:
        with span("consumer"):
            while (job := await jobs.get()) is not None:
                assert await job() in ("one", "two")
                assert getattr(current_span(), "name", None) == "consumer"

    async def main() -> None:
        jobs: asyncio.Queue[Any] = asyncio.Queue()
        consumer = asyncio.create_task(consume(jobs))
        for item in ("one", "two"):
            with span(f"producer of {item}"):
                await jobs.put(functools.partial(carry(handle), item))
        await jobs.put(None)
        await consumer

    asyncio.run(main())
    found = parents(spans())
    assert (found["one"], found["two"]) == ("producer of one", "producer of two")
    assert (found["one inside"], found["two inside"]) == ("one", "two")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_it_reaches_other_processes(method: str, spans: Any) -> None:
    context: Any = multiprocessing.get_context(method)
    with span("root"):
        job = carry(in_another_process)
    with context.Pool(1) as pool:
        (where,) = pool.map(job, ["pool"])
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        (there,) = executor.map(job, ["executor"])
    assert os.getpid() not in (where, there)
    assert parents(spans()) == {"root": None, "pool": "root", "executor": "root"}


def test_pickled_without_a_span_it_is_the_function(store: Any, spans: Any) -> None:
    assert pickle.loads(pickle.dumps(carry(in_another_process))) is in_another_process
    with span("root"):
        data = pickle.dumps(carry(work))
    job = pickle.loads(pickle.dumps(pickle.loads(data)))
    assert job("twice pickled") == "unset"
    assert parents(spans())["twice pickled"] == "root"


def test_a_greenlet_begins_outside_and_carry_takes_it_in(spans: Any) -> None:
    greenlet: Any = pytest.importorskip("greenlet").greenlet

    def switches(name: str) -> None:
        with span(name):
            main.switch()
            with span(f"{name} inside"):
                pass

    main = greenlet(lambda: None).parent
    with span("root"):
        bare, carried = greenlet(switches), greenlet(carry(switches))
        bare.switch("bare")
        carried.switch("carried")
        with span("between"):
            carried.switch()
            bare.switch()
    assert parents(spans()) == {
        "root": None, "bare": None, "bare inside": "bare", "carried": "root", "carried inside": "carried",
        "between": "root",
    }  # fmt: skip


# -- traceparent, and a parent from elsewhere --------------------------------------------------------------


def test_the_traceparent_is_that_of_the_current_span(store: Any) -> None:
    assert traceparent() == ""
    with span("x") as s:
        assert traceparent() == f"00-{s.trace_id}-{s.span_id}-01"
    assert traceparent() == ""


def test_a_span_hangs_below_a_parent_from_elsewhere(spans: Any) -> None:
    with span("root"):
        said = traceparent()
    with span("current"), span("below", parent=said):
        with span("inside"):
            pass

    @span("decorated", parent=said)
    def decorated() -> None: ...

    decorated()
    decorated()
    with span("unknown", parent=ELSEWHERE):
        pass
    found = spans()
    assert parents(found) == {
        "root": None, "current": None, "below": "root", "inside": "below", "decorated": "root", "unknown": None
    }  # fmt: skip
    (unknown,) = [record for record in found if record["name"] == "unknown"]
    assert (unknown["trace_id"], unknown["parent_span_id"]) == (ELSEWHERE[3:35], ELSEWHERE[36:52])


@pytest.mark.parametrize(
    "parent",
    [
        None, "", "nonsense", ELSEWHERE[:-1], ELSEWHERE + "-00", "ff" + ELSEWHERE[2:], ELSEWHERE.replace("0af", "0AF"),
        f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", 7, "\ud800" * 55,
    ],
)  # fmt: skip
def test_what_is_no_traceparent_changes_nothing(parent: Any, spans: Any) -> None:
    with span("root"), span("below", parent=parent):
        pass
    assert parents(spans()) == {"root": None, "below": "root"}


def test_a_later_version_of_traceparent_may_say_more(spans: Any) -> None:
    with span("x", parent="cc" + ELSEWHERE[2:] + "-more"):
        pass
    assert spans()[0]["parent_span_id"] == ELSEWHERE[36:52]


CHILD = "from agentops import span, traceparent\nprint(traceparent())\nwith span('child'): pass"


def test_a_process_begins_below_the_traceparent_of_its_environment(spans: Any) -> None:
    with span("root"):
        env = {**os.environ, "TRACEPARENT": traceparent()}
    said = subprocess.check_output([sys.executable, "-c", CHILD], env=env, text=True)
    assert said.strip() == env["TRACEPARENT"]
    assert parents(spans()) == {"root": None, "child": "root"}


def test_the_environments_span_is_not_current_for_the_programs_own_opentelemetry(program: Any) -> None:
    done = program(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
        import agentops
        trace.set_tracer_provider(TracerProvider(sampler=ParentBased(ALWAYS_OFF)))
        with agentops.span("ours"):
            with trace.get_tracer("app").start_as_current_span("theirs") as theirs:
                assert not theirs.is_recording()
        """,
        TRACEPARENT=ELSEWHERE,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("sampler", "sampled"), [("ALWAYS_ON", 1), ("ALWAYS_OFF", 0)])
def test_beside_an_sdk_the_traceparent_says_what_it_sampled(sampler: str, sampled: int, program: Any) -> None:
    done = program(
        f"""
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import {sampler}
        from agentops import span, traceparent
        trace.set_tracer_provider(TracerProvider(sampler={sampler}))
        with span("ours") as ours:
            assert traceparent()[:-2] == f"00-{{ours.trace_id}}-{{ours.span_id}}-"
            assert int(traceparent()[-2:], 16) & 1 == {sampled}
            with trace.get_tracer("app").start_as_current_span("theirs") as theirs:
                assert format(theirs.get_span_context().span_id, "016x") in traceparent()
            with span("elsewhere", parent="{ELSEWHERE}") as elsewhere:
                assert elsewhere.trace_id == "{ELSEWHERE[3:35]}"
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_runs_in_a_trace_of_somebody_elses_are_found_and_shown(program: Any, tmp_path: Path) -> None:
    # As in a pipeline, or below an agent that sets TRACEPARENT for what it starts.
    source = "from agentops import span\nwith span({name!r}):\n    with span('inside'): pass"
    for name in ("one", "two"):
        program(source.format(name=name), TRACEPARENT=ELSEWHERE)
    env = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db"), "COLUMNS": "100"}
    cli = str(Path(sys.executable).with_name("agentops"))
    listed = subprocess.check_output([cli, "ls"], env=env, text=True).splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["0af76519", "one"]]
    shown = subprocess.check_output([cli, "show", "latest"], env=env, text=True)
    named = [line.strip("└─ ").split()[0] for line in shown.splitlines()[2:]]
    assert named == ["one", "inside", "two", "inside"], shown
    assert shown.count("its parent was not recorded here") == 2

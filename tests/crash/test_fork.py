"""A fork inside a span: two processes go on, each in a journal of its own, and neither speaks for the other."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from agentops.recorder import forks


def by_name(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {record["name"]: record for record in records}
    assert len(found) == len(records), "a span is there twice"
    return found


def test_a_child_does_not_take_back_what_its_parent_said_since(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        """
        import os
        from agentops import span
        with span("parent") as parent:
            parent.set_attribute("step", 1)
            parent.output = "so far"
            child = os.fork()
            if child == 0:
                with span("child"): pass
                os._exit(0)
            os.waitpid(child, 0)
            parent.set_attribute("step", 2)
            parent.output = "in the end"
        """
    )
    assert done.returncode == 0, done.stderr
    parent = by_name(read(tmp_path / "traces.db"))["parent"]
    assert (parent["attributes"], parent["output"]) == ({"step": 2}, "in the end")


def test_what_a_child_sets_on_its_parents_span_is_not_its_parents_word(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        """
        import os
        from agentops import span
        with span("parent") as parent:
            parent.output = ["the parent's"] * 50
            child = os.fork()
            if child == 0:
                parent.output = ["the child's"] * 50
                parent.set_attribute("who", "child")
                parent.end()
                os._exit(0)
            os.waitpid(child, 0)
        """
    )
    assert done.returncode == 0, done.stderr
    parent = by_name(read(tmp_path / "traces.db"))["parent"]
    assert (parent["output"], parent["status"]) == (["the parent's"] * 50, "ok")


def test_a_child_with_threads_around_it_records_and_ends(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        """
        import os, threading
        import agentops
        from agentops import span
        stop = threading.Event()
        def work():
            while not stop.is_set():
                with span("busy", input="x" * 300) as s:
                    s.output = {"n": 1}
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads: thread.start()
        children = []
        with span("parent", kind="agent"):
            for n in range(20):
                child = os.fork()
                if child == 0:
                    with span(f"child {n}", input=["y" * 300]):
                        pass
                    agentops.flush()
                    os._exit(0)
                children.append(child)
            codes = [os.waitpid(child, 0)[1] for child in children]
        stop.set()
        for thread in threads: thread.join()
        assert codes == [0] * 20, codes
        """
    )
    assert done.returncode == 0, done.stderr
    records = [record for record in read(tmp_path / "traces.db") if record["name"] != "busy"]
    found = by_name(records)
    assert len(found) == 21
    parent = found.pop("parent")
    assert {record["parent_span_id"] for record in found.values()} == {parent["span_id"]}
    assert {record["status"] for record in [parent, *found.values()]} == {"ok"}
    assert {tuple(record["input"]) for record in found.values()} == {("y" * 300,)}


def test_workers_of_multiprocessing_record_into_the_same_trace(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        """
        import multiprocessing
        from agentops import span
        @span("square", kind="tool")
        def square(n): return n * n
        if __name__ == "__main__":
            with span("run", kind="agent"):
                with multiprocessing.get_context("fork").Pool(2) as pool:
                    assert pool.map(square, range(10)) == [n * n for n in range(10)]
                    pool.close()
                    pool.join()
        """
    )
    assert done.returncode == 0, done.stderr
    records = read(tmp_path / "traces.db")
    squares = [record for record in records if record["name"] == "square"]
    (run,) = (record for record in records if record["name"] == "run")
    assert sorted((record["input"]["n"], record["output"]) for record in squares) == [(n, n * n) for n in range(10)]
    assert {record["parent_span_id"] for record in squares} == {run["span_id"]}
    assert {record["status"] for record in records} == {"ok"}


def test_a_fork_beside_the_applications_provider_keeps_the_tree(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        """
        import os
        from agentops import span
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        trace.set_tracer_provider(TracerProvider())
        with span("parent"):
            child = os.fork()
            if child == 0:
                with span("child"): pass
                os._exit(0)
            os.waitpid(child, 0)
        """
    )
    assert done.returncode == 0, done.stderr
    found = by_name(read(tmp_path / "traces.db"))
    assert found["child"]["parent_span_id"] == found["parent"]["span_id"]
    assert {record["status"] for record in found.values()} == {"ok"}


def test_a_grandchild_that_lives_on_does_not_keep_the_dead_running(tmp_path: Path, program: Any, read: Any) -> None:
    done = program(
        """
        import os, signal, sys
        from agentops import span
        with span("parent"):
            child = os.fork()
            if child == 0:
                with span("child"):
                    grandchild = os.fork()
                    if grandchild == 0:
                        os.close(1); os.close(2)
                        signal.pause()
                    print(grandchild, flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    try:
        found = by_name(read(tmp_path / "traces.db"))
        assert {name: record["status"] for name, record in found.items()} == {
            "parent": "interrupted",
            "child": "interrupted",
        }
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_children_of_a_program_that_is_being_ingested_do_not_hang(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        """
        import os, signal, sqlite3, threading, time
        import agentops.recorder.recorder as recorder
        recorder.POLL_S, recorder.BACKLOG_BYTES = 0.001, 1_000      # the store is written nearly all the time
        import agentops
        from agentops import span
        stop = threading.Event()
        def work():
            while not stop.is_set():
                with span("busy", input=os.urandom(300).hex()): pass
                time.sleep(0.0002)
        thread = threading.Thread(target=work)
        thread.start()
        codes = []
        for n in range(30):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                sqlite3.connect(":memory:").execute("CREATE TABLE own (use)")
                with span("child"): pass
                os._exit(0 if agentops.flush() else 1)
            codes.append(os.waitpid(child, 0)[1])
        stop.set()
        thread.join()
        assert codes == [0] * 30, codes
        """
    )
    assert done.returncode == 0, done.stderr
    assert sum(record["name"] == "child" for record in read(tmp_path / "traces.db")) == 30


def test_no_thread_of_ours_runs_while_the_program_forks(program: Any, read: Any, tmp_path: Path) -> None:
    done = program(
        """
        import os, threading
        names = []
        os.register_at_fork(before=lambda: names.append([thread.name for thread in threading.enumerate()]))
        from agentops import span
        with span("before"): pass
        assert len(threading.enumerate()) == 2
        child = os.fork()
        if child == 0:
            with span("inside"): pass
            os._exit(0)
        os.waitpid(child, 0)
        with span("after"): pass
        assert names == [["MainThread"]], names
        """
    )
    assert done.returncode == 0, done.stderr
    assert {record["name"] for record in read(tmp_path / "traces.db")} == {"before", "inside", "after"}


tells = pytest.mark.skipif(not forks.TELLS, reason="this system tells no process that it is a fork: Linux 4.14 does")
#: A fork as native code makes it: none of Python's hooks know of it.
NATIVE = """
import ctypes, os, signal, sys, time
import agentops
from agentops import score, span
def fork():
    return ctypes.PyDLL(None).fork()
"""


@tells
def test_a_program_forked_without_pythons_hooks_records_into_a_journal_of_its_own(
    program: Any, read: Any, tmp_path: Path
) -> None:
    done = program(
        NATIVE
        + """
with span("parent") as parent:
    parent.output = ["the parent's"] * 50
    child = fork()
    who = "the child's" if child == 0 else "the parent's"
    if child == 0:
        parent.output = ["the child's"] * 50
        parent.add_event("in the child")
    for n in range(300):
        with span(f"{who} {n}", input=[who * 20, n]) as inside:
            inside.output = [who * 30]
    if child == 0:
        parent.end()
        assert agentops.flush()
        with span("open in the child"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    parent.add_event("in the parent")
"""
    )
    assert done.returncode == 0, done.stderr
    found = by_name(read(tmp_path / "traces.db"))
    parent, cut_off = found.pop("parent"), found.pop("open in the child")
    assert (parent["output"], parent["status"]) == (["the parent's"] * 50, "ok")
    assert [event["name"] for event in parent["events"]] == ["in the parent"]
    assert cut_off["status"] == "interrupted"
    expected = {
        f"{who} {n}": ([who * 20, n], [who * 30]) for who in ("the child's", "the parent's") for n in range(300)
    }
    assert {name: (record["input"], record["output"]) for name, record in found.items()} == expected
    assert {record["parent_span_id"] for record in [*found.values(), cut_off]} == {parent["span_id"]}
    assert {record["status"] for record in found.values()} == {"ok"}


@tells
@pytest.mark.parametrize(
    "says", ["", "with span('child'): pass", "agentops.flush()", "os.waitpid(os.fork() or os._exit(0), 0)"]
)
def test_the_end_of_a_native_fork_is_not_its_parents(program: Any, read: Any, tmp_path: Path, says: str) -> None:
    done = program(
        NATIVE
        + f"""
with span("parent"):
    child = fork()
    if child == 0:
        {says}
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    with span("after"): pass
    score("good", 1)
"""
    )
    assert done.returncode == 0, done.stderr
    found = by_name(read(tmp_path / "traces.db"))
    assert {name: record["status"] for name, record in found.items()} == {
        "parent": "ok", "after": "ok", **({"child": "ok"} if "child" in says else {})
    }  # fmt: skip


@tells
def test_what_a_hook_of_the_programs_records_in_a_child_before_ours_is_the_childs(
    program: Any, read: Any, tmp_path: Path
) -> None:
    done = program(
        """
        import os, signal
        def hook():
            global inside
            inside = span("of the hook")
            inside.__enter__()
        os.register_at_fork(after_in_child=hook)
        from agentops import span
        with span("parent"):
            child = os.fork()
            if child == 0:
                with span("child"): pass
                inside.end()
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
        """
    )
    assert done.returncode == 0, done.stderr
    found = by_name(read(tmp_path / "traces.db"))
    assert {name: record["status"] for name, record in found.items()} == {
        "parent": "ok", "of the hook": "ok", "child": "ok"
    }  # fmt: skip

"""`instrument()`: threads, executors, processes and programs that are started inside of a span record below it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import asyncio, multiprocessing, os, subprocess, sys, threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from agentops import span

def work(name):
    with span(name):
        return name

CHILD = "import sys; from agentops import span\\nwith span(sys.argv[1]): pass"
def child(name):
    return [sys.executable, "-c", CHILD, name]

def run_in_a_thread(job, *args):
    thread = threading.Thread(target=job, args=args)
    thread.start()
    thread.join()
"""

Recorded = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def recorded(program: Any, tmp_path: Path, read: Any) -> Recorded:
    """Runs a program in which `instrument()` was called first; gives what it recorded, by name."""

    def recorded(body: str, **environment: str) -> dict[str, dict[str, Any]]:
        environment.setdefault("AGENTOPS_STORE", str(tmp_path / "traces.db"))
        done = program("import agentops\nagentops.instrument()\n" + PROGRAM + body, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        found = read(tmp_path / "traces.db")
        by_name = {record["name"]: record for record in found}
        assert len(by_name) == len(found)
        return by_name

    return recorded


def below(found: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    """The names of spans by that of their parent."""
    names = {record["span_id"]: name for name, record in found.items()}
    families: dict[str, set[str]] = {}
    for name, record in found.items():
        families.setdefault(names.get(record["parent_span_id"], ""), set()).add(name)
    return families


def test_threads_of_every_class_and_their_tasks_record_below(recorded: Recorded) -> None:
    found = recorded(
        """
class Own(threading.Thread):
    def __init__(self): super().__init__(name="own", daemon=True)
    def run(self):
        assert (self.name, self.daemon, threading.current_thread()) == ("own", True, self)
        work("own run")

async def main():
    await asyncio.to_thread(work, "to_thread")
    await asyncio.get_running_loop().run_in_executor(None, work, "run_in_executor")

with span("root"):
    run_in_a_thread(work, "thread")
    run_in_a_thread(run_in_a_thread, work, "thread of a thread")
    own = Own(); own.start(); own.join()
    timer = threading.Timer(0.01, work, ("timer",)); timer.start(); timer.join()
    with ThreadPoolExecutor(2) as executor:
        executor.submit(work, "submitted").result()
        list(executor.map(work, ["mapped"]))
    with ThreadPool(1) as pool:
        pool.map(work, ["pool"])
    asyncio.run(main())
run_in_a_thread(work, "outside")
"""
    )
    assert below(found) == {
        "": {"root", "outside"},
        "root": {
            "thread", "thread of a thread", "own run", "timer", "submitted", "mapped", "pool", "to_thread",
            "run_in_executor",
        },
    }  # fmt: skip


def test_a_worker_that_one_span_started_serves_the_others(recorded: Recorded) -> None:
    found = recorded(
        """
with ThreadPoolExecutor(1) as executor, ProcessPoolExecutor(1) as processes:
    with span("first"):
        executor.submit(work, "of the first").result()
        processes.submit(work, "process of the first").result()
    with span("second"):
        executor.submit(work, "of the second").result()
    executor.submit(work, "of nobody").result()
    processes.submit(work, "process of nobody").result()
"""
    )
    assert below(found) == {
        "": {"first", "second", "of nobody", "process of nobody"},
        "first": {"of the first", "process of the first"},
        "second": {"of the second"},
    }


SDK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
"""


@pytest.mark.parametrize("beside", ["", SDK], ids=["alone", "beside an SDK"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_in_all_start_methods_record_below(method: str, beside: str, recorded: Recorded) -> None:
    found = recorded(
        beside
        + f"""
class Own(multiprocessing.get_context({method!r}).Process):
    def run(self): work("own run")

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with span("root"):
        for process in (context.Process(target=work, args=("process",)), Own()):
            process.start(); process.join()
            assert process.exitcode == 0
        with context.Pool(1) as pool:
            pool.map(work, ["map"])
            pool.apply(work, ("apply",))
            pool.starmap(work, [("starmap",)])
            list(pool.imap_unordered(work, ["imap"]))
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            assert list(executor.map(work, ["executor"])) == ["executor"]
    outside = context.Process(target=work, args=("outside",))
    outside.start(); outside.join()
"""
    )
    assert below(found) == {
        "": {"root", "outside"},
        "root": {"process", "own run", "map", "apply", "starmap", "imap", "executor"},
    }


def test_programs_that_are_started_record_below(recorded: Recorded) -> None:
    found = recorded(
        """
async def main():
    process = await asyncio.create_subprocess_exec(*child("asyncio"))
    await process.wait()

with span("root") as root:
    said = subprocess.check_output([sys.executable, "-c", "import os; print(os.environ['TRACEPARENT'])"], text=True)
    assert said.strip() == agentops.traceparent()
    subprocess.run(child("run"), check=True)
    subprocess.run(child("own environment"), env={**os.environ, "MORE": "1"}, check=True)
    subprocess.Popen(child("by place"), -1, None, None, None, None, None, True, False, None, dict(os.environ)).wait()
    asyncio.run(main())
    elsewhere = {**os.environ, "TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    subprocess.run(child("elsewhere"), env=elsewhere, check=True)
subprocess.run(child("outside"), check=True)
assert "TRACEPARENT" not in os.environ and "AGENTOPS_PARENT" not in os.environ
"""
    )
    assert below(found) == {
        "": {"root", "outside", "elsewhere"},
        "root": {"run", "own environment", "by place", "asyncio"},
    }
    assert found["elsewhere"]["parent_span_id"] == "b7ad6b7169203331"


def test_what_a_request_starts_hangs_below_it_and_is_told_no_current_span(recorded: Recorded) -> None:
    found = recorded(
        """
from agentops_integrations.web import wsgi
def app(environ, start_response):
    run_in_a_thread(work, "thread")
    with ThreadPoolExecutor(1) as executor: executor.submit(work, "task").result()
    with multiprocessing.get_context("spawn").Pool(1) as pool: pool.map(work, ["pool"])
    subprocess.run(child("child"), check=True)
    look = "import os; print(os.environ.get('TRACEPARENT'))"
    assert subprocess.check_output([sys.executable, "-c", look], text=True).strip() == "None"
    return [b""]

if __name__ == "__main__":
    wsgi(app)({"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, None)
"""
    )
    assert below(found) == {"": {"GET /x"}, "GET /x": {"thread", "task", "pool", "child"}}


def test_threads_of_ours_are_in_no_span_of_the_programs(recorded: Recorded) -> None:
    found = recorded(
        """
@agentops.on_span_end
def looks(ended):
    if ended.name == "inside":
        work("in a hook")
with span("root"):
    work("inside")
agentops.flush()
"""
    )
    assert below(found) == {"": {"root", "in a hook"}, "root": {"inside"}}


def test_somebody_elses_traceparent_stays_as_it_is_for_others_and_ours_below(recorded: Recorded) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    found = recorded(
        f"""
with span("root"):
    said = subprocess.check_output([sys.executable, "-c", "import os; print(os.environ['TRACEPARENT'])"], text=True)
    assert said.strip() == {given!r}
    subprocess.run(child("child"), check=True)
""",
        TRACEPARENT=given,
    )
    assert below(found) == {"": {"root"}, "root": {"child"}}
    assert found["root"]["parent_span_id"] == given[36:52]


def test_a_thread_is_what_it_is_without_us(recorded: Recorded) -> None:
    recorded(
        """
import contextvars, decimal
variable = contextvars.ContextVar("variable", default="unset")

failed = []
threading.excepthook = lambda args: failed.append(args)

def looks():
    assert variable.get() == "unset"          # a thread has context variables of its own
    assert decimal.getcontext().prec == 28
    raise LookupError("in the thread")

with span("root"):
    variable.set("set")
    with decimal.localcontext() as precise:
        precise.prec = 5
        thread = threading.Thread(target=looks)
        assert thread._target is looks
        run = thread.run
        thread.start(); thread.join()
        assert thread.run == run
        with ThreadPoolExecutor(1) as executor:
            assert type(executor.submit(looks).exception()) is LookupError
    try:
        thread.start()
    except RuntimeError as problem:
        assert "only be started once" in str(problem)
(args,) = failed
assert args.exc_type is LookupError
frames = []
trace = args.exc_traceback
while trace:
    frames.append(trace.tb_frame.f_code.co_filename)
    trace = trace.tb_next
assert [os.path.basename(name) for name in frames] == ["threading.py", "threading.py", "program.py"], frames
"""
    )


def test_a_program_that_has_no_span_of_ours_open_keeps_its_own_trees(recorded: Recorded) -> None:
    found = recorded(
        """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
agentops.init(otel=True)
tracer = trace.get_tracer("app")
def theirs(name):
    with tracer.start_as_current_span(name): pass
with tracer.start_as_current_span("app"):
    run_in_a_thread(theirs, "in a thread")
with span("ours"):
    run_in_a_thread(theirs, "below ours")
    run_in_a_thread(work, "ours in a thread")
"""
    )
    assert below(found) == {"": {"app", "in a thread", "ours"}, "ours": {"below ours", "ours in a thread"}}


def test_the_store_is_closed_as_the_program_ends(program: Any, tmp_path: Path) -> None:
    done = program(
        "import agentops\nagentops.instrument()\n"
        + PROGRAM
        + """
@span("numbers")
def numbers(): yield 1
with span("root"):
    run_in_a_thread(work, "thread")
    with ThreadPoolExecutor(1) as executor: executor.submit(work, "task").result()
    list(numbers())
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.glob("traces.db*")] == ["traces.db"]


def test_nothing_is_loaded_for_a_program_that_records_nothing(program: Any) -> None:
    done = program(
        """
        import sys
        import concurrent.futures.thread as executors, multiprocessing.process as processes
        import subprocess as programs, threading as threads
        from agentops_integrations import futures, multiprocessing, subprocess, threading
        futures.instrument(executors)
        multiprocessing.instrument(processes)
        subprocess.instrument(programs)
        threading.instrument(threads)
        thread = threads.Thread(target=print, args=("ran",)); thread.start(); thread.join()
        with executors.ThreadPoolExecutor() as executor: executor.submit(print, "ran").result()
        programs.run(["true"], check=True)
        print([name for name in sys.modules if name.split(".")[0] in ("agentops", "opentelemetry")])
        """
    )
    assert (done.stdout, done.stderr) == ("ran\nran\n[]\n", "")

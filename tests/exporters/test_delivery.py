"""`init(export=...)`: each span that has ended arrives, once, whatever the target does meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import agentops
from agentops import Target, UsageError, score, span
from agentops.store.outbox import State, states
from tests.exporters.sink import Reply, Sink, attributes

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sink() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.close()


@pytest.fixture
def another() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that was away is tried again after a part of a second."""
    import agentops.exporters.delivery as delivery

    monkeypatch.setattr(delivery, "_FIRST_RETRY_S", 0.05)
    monkeypatch.setattr(delivery, "_LAST_RETRY_S", 0.05)
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


def state_of(store: Path, target: str = "") -> State:
    (state,) = [one for one in states(str(store)) if target in one.name]
    return state


def soon_true(what: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_span_arrives_with_what_is_in_it(store: Path, sink: Sink) -> None:
    agentops.init(export=sink.url)
    with span("answer", kind="agent", session="s-1", input={"ticket": 7}) as run:
        with span("call", kind="llm", input="why?") as call:
            call.output = "because " * 100
            call.set_attribute("gen_ai.request.model", "m-1")
    score("helpful", 1, trace=run.trace_id)
    assert agentops.shutdown()
    one, two = sorted(sink.spans, key=lambda found: str(found.name))
    assert (one.name, two.name) == ("answer", "call")
    assert two.parent_span_id == one.span_id and two.trace_id.hex() == run.trace_id
    assert "because because" in str(attributes(two)) and attributes(one)["session.id"] == "s-1"
    assert sink.requests[0][""] == "/v1/traces" and sink.requests[0]["content-type"] == "application/x-protobuf"
    state = state_of(store)
    assert (state.name, state.sent, state.waiting, state.again) == (f"{sink.url}/v1/traces", 2, 0, 0)


def test_spans_are_sent_while_the_program_runs(store: Path, sink: Sink) -> None:
    agentops.init(export=sink.url)
    for n in range(3):
        with span(f"n-{n}"):
            pass
    sink.wait(3)


def test_the_program_does_not_wait_for_a_target_that_hangs(store: Path, sink: Sink) -> None:
    release, held = threading.Event(), threading.Event()

    def hang(_: list[Any]) -> bool:
        held.set()
        return release.wait(20)

    sink.reply = hang
    agentops.init(export=sink.url)
    with span("first"):
        pass
    assert held.wait(20)
    for n in range(100):
        with span(f"n-{n}"):
            pass
    assert agentops.flush(20)  # the store has them while the request hangs
    assert not sink.spans and not release.is_set()
    release.set()
    sink.wait(101)
    assert set(sink.ids.values()) == {1}


def test_a_target_that_hangs_keeps_no_other_waiting(program: Run, sink: Sink, another: Sink, tmp_path: Path) -> None:
    """While the program runs, and at its end, however short it is."""
    release = threading.Event()
    sink.reply = lambda _: release.wait(20) and False
    source = """
        import sys, agentops, agentops.recorder.recorder as recorder
        recorder.EXPORT_WAIT_S = 3.0
        agentops.init(export=sys.argv[1:3])
        with agentops.span("first"):
            pass
        if len(sys.argv) > 3:
            assert sys.stdin.read() == ""
            with agentops.span("last"):
                pass
    """
    started = time.monotonic()
    short = program(source, sink.url, another.url)
    assert another.names == ["first"] and time.monotonic() - started < 12
    assert f"1 span waits for {sink.url}" in short.stderr and another.url not in short.stderr

    environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "long.db")}
    command = [sys.executable, "-c", textwrap.dedent(source), sink.url, another.url, "long"]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    another.wait(2)  # while it runs
    _, said = process.communicate(b"", timeout=60)
    assert another.names == ["first", "first", "last"]
    assert f"2 spans wait for {sink.url}" in said.decode()
    release.set()


@pytest.mark.parametrize(
    "bad",
    [
        (503, {"Retry-After": "0"}, b""),
        (429, {}, b"slow down"),
        (500, {"Content-Type": "text/html"}, b"<h1>Oops</h1>"),
        (200, {"Content-Type": "text/html"}, b"<h1>Sign in</h1>"),
        (200, {"Content-Type": "application/x-protobuf"}, b"\xff\xff\xff"),
        (302, {"Location": "/elsewhere"}, b""),
        (401, {}, b""),
        None,
    ],
    ids=str,
)
def test_a_bad_answer_loses_nothing(store: Path, sink: Sink, bad: Reply) -> None:
    answers = iter([bad, bad])
    sink.reply = lambda _: next(answers, True)
    agentops.init(export=sink.url)
    for n in range(5):
        with span(f"n-{n}"):
            pass
    sink.wait(5)
    assert agentops.shutdown()
    assert sorted(sink.names) == [f"n-{n}" for n in range(5)]
    lost_answers = bad is None or bad[0] == 200  # whether spans were taken nobody can tell
    assert state_of(store).again == (10 if lost_answers else 0)


def test_a_target_is_left_alone_for_as_long_as_it_asks(store: Path, sink: Sink) -> None:
    times: list[float] = []

    def reply(_: list[Any]) -> Reply | bool:
        times.append(time.monotonic())
        return (503, {"Retry-After": "0.7"}, b"") if len(times) == 1 else True

    sink.reply = reply
    agentops.init(export=sink.url)
    with span("one"):
        pass
    sink.wait(1)
    assert times[1] - times[0] >= 0.7


def test_a_target_that_drips_its_answer_is_not_waited_for(
    store: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.3")
    slow = iter([1.0])
    sink.reply = lambda _: next(slow, True)
    agentops.init(export=sink.url)
    with span("one"):
        pass
    sink.wait(1)
    assert agentops.shutdown()
    assert "did not answer in time" in str(state_of(store).failure)


def test_what_waits_goes_with_the_next_program(program: Run, tmp_path: Path, sink: Sink) -> None:
    source = "import sys, agentops\nagentops.init(export=sys.argv[1])\nwith agentops.span(sys.argv[2]): pass\n"
    sink.away()
    first = program(source, sink.url, "first")
    assert first.returncode == 0
    last = first.stderr.splitlines()[-1]
    assert last == (
        f"agentops: 1 span waits for {sink.url}/v1/traces (it cannot be reached (Connection refused)), sent with the "
        f"next program that exports there, or by `agentops export --to otlp {sink.url}/v1/traces --waiting`"
    )
    quiet = program(source, sink.url, "second", AGENTOPS_QUIET="1")
    assert "wait for" not in quiet.stderr
    sink.back()
    third = program(source, sink.url, "third")
    assert third.stderr == ""
    assert sorted(sink.names) == ["first", "second", "third"]
    assert state_of(tmp_path / "traces.db").waiting == 0


def test_what_could_not_be_counted_at_the_end_is_said_to_be_more(program: Run, sink: Sink) -> None:
    sink.away()
    began = time.monotonic()
    done = program(
        """
        import os, sqlite3, sys, agentops, agentops.recorder.recorder as recorder
        recorder.EXPORT_WAIT_S = 1.0
        agentops.init(export=sys.argv[1])
        with agentops.span("in the store"): pass
        agentops.flush()
        busy = sqlite3.connect(os.environ["AGENTOPS_STORE"])
        busy.execute("BEGIN IMMEDIATE")
        with agentops.span("in a journal"): pass
        """,
        sink.url,
        AGENTOPS_RAISE="0",
    )
    assert done.returncode == 0 and time.monotonic() - began < 8
    assert f"\nagentops: at least 1 span waits for {sink.url}/v1/traces (" in done.stderr


def test_many_processes_send_each_span_once(tmp_path: Path, sink: Sink) -> None:
    source = (
        "import sys, agentops\nagentops.init(export=sys.argv[1])\n"
        "for n in range(200):\n    with agentops.span(f'{sys.argv[2]} {n}'): pass\n    agentops.flush()\n"
    )
    environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")}
    command = [sys.executable, "-c", source, sink.url]
    processes = [subprocess.Popen([*command, str(n)], env=environment) for n in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert subprocess.run([*command, "last"], env=environment, timeout=60).returncode == 0
    assert len(sink.ids) == 800 and set(sink.ids.values()) == {1}


def test_what_a_killed_process_left_is_sent_by_a_running_one(
    store: Path, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import agentops.recorder.exporting as exporting

    monkeypatch.setattr(exporting, "_DEAD_S", 0.1)
    source = (
        "import os, sys, agentops\nagentops.init(export=sys.argv[1])\n"
        "outer = agentops.span('open').__enter__()\nwith agentops.span('ended'): pass\nos.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", source, sink.url], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    agentops.init(export=sink.url)
    with span("mine"):
        pass
    sink.wait(3)
    assert sorted(sink.names) == ["ended", "mine", "open"]
    (cut_off,) = [one for one in sink.spans if one.name == "open"]
    assert cut_off.status.code == 2 and "interrupted" in cut_off.status.message


def test_a_forked_childs_spans_arrive(program: Run, sink: Sink) -> None:
    done = program(
        """
        import os, sys, agentops
        agentops.init(export=sys.argv[1])
        with agentops.span("parent"):
            child = os.fork()
            if not child:
                with agentops.span("child"): pass
                assert agentops.shutdown(30)
                os._exit(0)
            os.waitpid(child, 0)
        """,
        sink.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(sink.names) == ["child", "parent"]


def test_a_child_that_is_forked_while_its_parent_sends_keeps_nobody_from_sending(tmp_path: Path, sink: Sink) -> None:
    source = textwrap.dedent("""
        import os, sys, agentops
        agentops.init(export=sys.argv[1])
        with agentops.span("parent"):
            pass
        sys.stdin.readline()        # the thread waits for an answer now
        child = os.fork()
        if not child:
            sys.stdin.readline()    # lives on, and does nothing
            os._exit(0)
        os.kill(os.getpid(), 9)
    """)
    release, held = threading.Event(), threading.Event()

    def hang(_: list[Any]) -> bool:
        held.set()
        return not release.wait(20)

    sink.reply = hang
    environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")}
    process = subprocess.Popen([sys.executable, "-c", source, sink.url], env=environment, stdin=subprocess.PIPE)
    assert held.wait(20) and process.stdin is not None
    process.stdin.write(b"fork\n")
    process.stdin.flush()
    process.wait(20)
    release.set()
    sink.reply = lambda _: True
    last = "import sys, agentops\nagentops.init(export=sys.argv[1])\nwith agentops.span('last'): pass\n"
    subprocess.run([sys.executable, "-c", last, sink.url], env=environment, timeout=60, check=True)
    process.stdin.close()
    assert sorted(sink.names) == ["last", "parent"]


def test_each_target_has_a_function_that_redacts(store: Path, sink: Sink, another: Sink) -> None:
    def clean(text: str) -> str:
        return text.replace("Ada", "[name]")

    agentops.init(export=[Target(sink.url, redact=clean), another.url])
    with span("ask Ada", input={"Ada": ["Ada Lovelace", b"Ada"]}, user="Ada") as s:
        s.set_attribute("who", "Ada")
        s.add_event("Ada came", {"Ada": "Ada"})
        with contextlib.suppress(ValueError), span("fails"):
            raise ValueError("not Ada")
    assert agentops.shutdown()
    assert len(sink.spans) == len(another.spans) == 2
    assert "Ada" not in str(sink.spans) and "QWRh" not in str(sink.spans)  # the bytes, as base64 has them
    assert "[name] Lovelace" in str(sink.spans) and "Ada Lovelace" in str(another.spans)


def test_a_target_takes_the_redactors_that_init_takes(
    store: Path, sink: Sink, another: Sink, read: Callable[[Path], list[Any]]
) -> None:
    from agentops.redaction.redactor import Redactor

    agentops.init(
        export=[
            Target(sink.url, redact="secrets", metrics=True),
            Target(another.url, redact=Redactor("secrets", operator=lambda kind, text: f"[{kind}]")),
        ]
    )
    with span("connect", input={"url": "postgres://ada:hunter2@db/shop", "n": 7}, session="s-1") as s:
        s.set_attribute("password", "hunter2hunter2")
        s.add_event("said", {"text": "password=hunter2hunter2"})
    score("good", 1, trace=s.trace_id, comment="password=hunter2hunter2")
    assert agentops.shutdown()
    assert sink.names == another.names == ["connect"]
    assert "hunter2" not in str(sink.spans) and "hunter2" not in str(another.spans)
    assert attributes(sink.spans[0])["session.id"] == "s-1" and "[" in attributes(another.spans[0])["password"]
    (kept,) = read(store)
    assert "hunter2" in str(kept["input"])  # what is sent is redacted, what stays here is not


def test_a_span_that_cannot_be_redacted_is_not_sent(
    store: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "0")

    def fails(text: str) -> str:
        if "bad" in text:
            raise RuntimeError("no idea")
        return text

    agentops.init(export=Target(sink.url, redact=fails, name="mine"))
    for name in ("good", "bad"):
        with span(name):
            pass
    assert agentops.shutdown()
    assert sink.names == ["good"]
    state = state_of(store, "mine")
    assert (state.sent, state.withheld, state.waiting) == (1, 1, 0)


def test_what_was_to_be_redacted_goes_through_no_other_target(program: Run, tmp_path: Path, sink: Sink) -> None:
    sink.away()
    source = (
        "import sys, agentops\n"
        "def clean(text): return 'x'\n"
        "agentops.init(export=agentops.Target(sys.argv[1], redact=clean if len(sys.argv) > 2 else None))\n"
        "with agentops.span('secret' if len(sys.argv) > 2 else 'plain'): pass\n"
    )
    assert "--waiting" not in program(source, sink.url, "redacts").stderr.splitlines()[-1]
    sink.back()
    program(source, sink.url)
    assert sink.names == ["plain"]
    program(source, sink.url, "redacts")
    assert sink.names == ["plain", "x", "x"]


def test_sampling_takes_whole_traces_and_all_that_failed_or_took_long(store: Path, sink: Sink, another: Sink) -> None:
    targets = [Target(sink.url, rate=0, slower_than=0.2), Target(another.url, rate=0.5, errors=False)]
    agentops.init(export=targets)
    runs = []
    for n in range(60):
        with contextlib.suppress(ValueError), span(f"run {n}") as run:
            with span("step"):
                pass
            if n == 7:
                raise ValueError("failed")
            if n == 8:
                time.sleep(0.2)
        runs.append(run.trace_id)
    assert agentops.shutdown()
    assert sorted(sink.names) == ["run 7", "run 8", "step", "step"]
    sampled = {one.trace_id.hex() for one in another.spans}
    assert sampled == {trace for trace in runs if int(trace[-14:], 16) < 2**55}
    assert len(another.spans) == 2 * len(sampled)
    assert state_of(store, str(sink.port)).sampled_out == 2 * 58


def test_a_trace_that_may_be_left_out_waits_until_it_is_known(store: Path, sink: Sink) -> None:
    agentops.init(export=Target(sink.url, rate=0))
    with contextlib.suppress(ValueError), span("run"):
        with span("step"):
            pass
        assert agentops.flush()
        time.sleep(0.3)
        assert not sink.spans and state_of(store).waiting == 1
        raise ValueError("failed")
    sink.wait(2)


def test_a_span_that_is_refused_does_not_keep_the_others(store: Path, sink: Sink) -> None:
    message = b'{"message": "a poisoned span"}'
    sink.reply = lambda spans: (
        (400, {"Content-Type": "application/json"}, message) if any(s.name == "poison" for s in spans) else True
    )
    agentops.init(export=sink.url)
    for n in range(40):
        with span("poison" if n == 13 else f"n-{n}"):
            pass
    assert agentops.shutdown()
    assert len(sink.spans) == 39 and set(sink.ids.values()) == {1}
    state = state_of(store)
    assert (state.refused, state.sent, state.waiting) == (1, 39, 0)
    assert "a poisoned span" in str(state.failure)


def test_a_target_that_refuses_everything_loses_nothing(store: Path, sink: Sink) -> None:
    sink.reply = lambda _: (400, {}, b"")
    agentops.init(export=sink.url)
    for n in range(40):
        with span(f"n-{n}"):
            pass
    soon_true(lambda: len(sink.requests) > 20)
    assert not agentops.shutdown()
    assert state_of(store).waiting == 40
    sink.reply = lambda _: True
    with span("last"):
        pass
    assert agentops.shutdown()
    assert len(sink.spans) == 41


def test_batches_that_are_too_large_are_halved(store: Path, sink: Sink) -> None:
    sink.reply = lambda spans: (413, {}, b"") if len(spans) > 3 else True
    agentops.init(export=sink.url)
    for n in range(20):
        with span(f"n-{n}"):
            pass
    assert agentops.shutdown()
    assert len(sink.spans) == 20 and set(sink.ids.values()) == {1}


def test_spans_that_a_target_says_it_rejected_are_counted(store: Path, sink: Sink) -> None:
    answer = b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}'
    sink.reply = lambda _: (200, {"Content-Type": "application/json"}, answer)
    agentops.init(export=sink.url)
    for _ in range(5):
        with span("n"):
            pass
    assert agentops.shutdown()
    state = state_of(store)
    assert (state.sent, state.refused, state.waiting) == (3, 2, 0)


def test_what_is_forgotten_is_not_sent(program: Run, tmp_path: Path, sink: Sink) -> None:
    sink.away()
    source = (
        "import sys, agentops\nagentops.init(export=sys.argv[1])\n"
        "for user in sys.argv[2:]:\n    with agentops.span(f'of {user}', user=user): pass\n"
    )
    program(source, sink.url, "ada", "bob")
    from agentops.store.upkeep import Store

    with Store(str(tmp_path / "traces.db")) as upkeep:
        assert upkeep.forget(user="ada").removed.traces == 1
    sink.back()
    program(source, sink.url)
    program(source, sink.url, "eve")
    assert sorted(sink.names) == ["of bob", "of eve"]
    assert state_of(tmp_path / "traces.db").removed == 1


def test_what_a_target_said_of_a_span_is_forgotten_with_it(program: Run, tmp_path: Path, sink: Sink) -> None:
    sink.reply = lambda spans: (503, {"Content-Type": "text/plain"}, f"no room for {spans[0].name}".encode())
    source = "import sys, agentops\nagentops.init(export=sys.argv[1])\nwith agentops.span('of-ada', user='ada'): pass\n"
    program(source, sink.url)
    store = tmp_path / "traces.db"
    assert "no room for of-ada" in str(state_of(store).failure)
    from agentops.store.upkeep import Store

    with Store(str(store)) as upkeep:
        upkeep.forget(user="ada")
    assert b"of-ada" not in store.read_bytes() and state_of(store).failure is None


def test_what_a_target_says_is_written_redacted(program: Run, tmp_path: Path, sink: Sink) -> None:
    sink.reply = lambda spans: (503, {"Content-Type": "text/plain"}, b"ada@example.com is not known")
    done = program(
        "import sys, agentops\n"
        "agentops.init(export=sys.argv[1], redact=lambda text: text.replace('ada@example.com', '[mail]'))\n"
        "with agentops.span('one'): pass\n",
        sink.url,
    )
    assert "[mail] is not known" in str(state_of(tmp_path / "traces.db").failure)
    assert "ada@" not in done.stderr


def test_contents_that_are_still_redacted_are_waited_for(tmp_path: Path, sink: Sink) -> None:
    source = """
        import sys
        import agentops
        from agentops.redaction.findings import Finding
        from agentops.redaction.redactor import Redactor

        class Detector:
            def may_hold(self, data):
                return b"SECRET" in data
            def find(self, text):
                wait.join()
                at = text.find("SECRET")
                return [Finding(at, at + 6, "WORD", 1.0)] if at >= 0 else []

        import threading
        wait = threading.Thread(target=sys.stdin.readline)
        wait.start()
        agentops.init(redact=Redactor(Detector()), export=sys.argv[1])
        with agentops.span("dirty", input="clean words " * 40 + "SECRET"):
            pass
        with agentops.span("clean", input="clean words " * 40):
            pass
        assert agentops.shutdown(30)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), sink.url],
        env={**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db")},
        stdin=subprocess.PIPE,
    )
    sink.wait(1)
    time.sleep(0.5)
    assert sink.names == ["clean"]
    process.communicate(b"look\n", timeout=60)
    assert process.returncode == 0 and sink.names == ["clean", "dirty"]
    assert "WORD" in str(sink.spans[1]) and "withheld" not in str(sink.spans[1])


def test_opentelemetrys_variables_hold(store: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url + "/base/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k-1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(UsageError, match="ask for grpc, and agentops sends http/protobuf"):
        agentops.init(export="otlp")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_PROTOCOL")
    with span("before"):
        pass
    assert agentops.shutdown()
    assert not sink.requests  # an endpoint alone is the application's own affair
    agentops.init(export="otlp")
    with span("after"):
        pass
    assert agentops.shutdown()
    (request,) = sink.requests
    assert (request[""], request["x-key"], request["content-encoding"]) == ("/base/v1/traces", "k-1", "gzip")
    assert sink.names == ["after"] and sink.services == {"shop"}


def test_headers_go_to_the_host_that_they_are_meant_for(
    store: Path, sink: Sink, another: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k-1")
    agentops.init(export=["otlp", Target(another.url, headers={"x-other": "o-1"})])
    with span("one"):
        pass
    assert agentops.shutdown()
    assert sink.requests[0]["x-key"] == "k-1" and "x-other" not in sink.requests[0]
    assert another.requests[0]["x-other"] == "o-1" and "x-key" not in another.requests[0]
    assert another.requests[0]["content-type"] == "application/x-protobuf"
    on_disk = b"".join(path.read_bytes() for path in store.parent.rglob("*") if path.is_file())
    assert b"k-1" not in on_disk and b"o-1" not in on_disk


def test_passwords_in_a_url_are_not_written(store: Path, sink: Sink) -> None:
    agentops.init(export=f"http://ada:pass-word@127.0.0.1:{sink.port}/v1/traces?token=t-1")
    with span("one"):
        pass
    assert agentops.shutdown()
    assert sink.requests[0][""] == "/v1/traces?token=t-1" and sink.requests[0]["authorization"].startswith("Basic ")
    on_disk = b"".join(path.read_bytes() for path in store.parent.rglob("*") if path.is_file())
    assert b"pass-word" not in on_disk and b"t-1" not in on_disk


def test_a_console_shows_each_span_on_a_line(program: Run, tmp_path: Path) -> None:
    done = program(
        """
        import agentops
        agentops.init(export="console")
        with agentops.span("answer\\x1b[31m", kind="agent"):
            with agentops.span("call", kind="llm") as s:
                s.set_attribute("gen_ai.request.model", "m-1")
                s.set_attribute("gen_ai.usage.input_tokens", 12)
        """
    )
    assert done.returncode == 0
    agent, call = sorted(done.stderr.splitlines(), key=lambda text: "llm call" in text)
    assert "agent answer\\x1b[31m" in agent and "llm call  m-1  12+0 tokens" in call
    assert states(str(tmp_path / "traces.db")) == []  # nothing waits for the next one


def test_what_was_for_the_console_of_a_killed_program_is_for_nobody(program: Run, tmp_path: Path) -> None:
    source = (
        "import os, sys, agentops\nagentops.init(export='console')\nwith agentops.span(sys.argv[1]): pass\n"
        "os.kill(os.getpid(), 9) if sys.argv[1] == 'killed' else None\n"
    )
    assert program(source, "killed").returncode == -9
    for _ in range(2):  # the first finds what the killed one recorded, the next that nobody waits for it
        done = program(source, "well")
        assert len(done.stderr.splitlines()) == 1 and " well " in done.stderr
    assert states(str(tmp_path / "traces.db")) == []


def test_the_program_of_agentops_run_is_exported_too(tmp_path: Path, sink: Sink) -> None:
    (tmp_path / "agent.py").write_text("import agentops\nwith agentops.span('inside'): pass\n")
    environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "traces.db"), "AGENTOPS_EXPORT": sink.url}
    command = [os.path.join(os.path.dirname(sys.executable), "agentops"), "run", "--", sys.executable, "agent.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(sink.spans) == 2
    (inside,) = [one for one in sink.spans if one.name == "inside"]
    assert inside.parent_span_id in {one.span_id for one in sink.spans}


def test_nothing_of_ours_is_traced_while_it_exports(store: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests
    from opentelemetry import context

    seen: list[object] = []
    send = requests.Session.send

    def watched(self: Any, request: Any, **options: Any) -> Any:
        seen.append(context.get_value("suppress_instrumentation"))
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", watched)
    agentops.init(export=sink.url)
    with span("one"):
        pass
    sink.wait(1)
    with span("two"):
        pass
    assert agentops.shutdown()
    assert len(seen) >= 2 and set(seen) == {True}


def test_metrics_are_counted_once_of_all_traces(store: Path, sink: Sink) -> None:
    agentops.init(export=Target(sink.url, rate=0, errors=False, metrics=True))
    for n in range(4):
        with contextlib.suppress(ValueError), span("answer", kind="agent"):
            with span("call", kind="llm") as call:
                call.set_attributes({"gen_ai.request.model": "m-1", "gen_ai.provider.name": "p-1"})
                call.set_attributes({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 7})
                if n == 3:
                    raise ValueError("declined")
    assert agentops.shutdown()
    assert not sink.spans  # none was sampled
    found = {
        metric.name: metric
        for resource in sink.metrics[-1].resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    good, bad = sorted(found["gen_ai.client.inference.duration"].histogram.data_points, key=lambda p: -p.count)
    assert (good.count, bad.count, list(good.explicit_bounds)[:2]) == (3, 1, [0.01, 0.02])
    assert attributes(good) == {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1", "gen_ai.provider.name": "p-1",
    }  # fmt: skip
    assert attributes(bad)["error.type"] == "ValueError"
    tokens = found["gen_ai.client.inference.usage.input_tokens"].sum
    assert sum(point.as_int for point in tokens.data_points) == 400
    assert tokens.is_monotonic and tokens.aggregation_temporality == 2  # cumulative
    assert sum(p.as_int for p in found["agentops.client.inference.errors"].sum.data_points) == 1
    assert sum(p.count for p in found["gen_ai.invoke_agent.duration"].histogram.data_points) == 4


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Target("localhost:4318"), "http:// is missing. Give a URL such as http://localhost:4318"),
        (lambda: Target("10.0.0.7:4318/v1/traces"), "http:// is missing"),
        (lambda: Target("localhots"), "give a URL such as http://localhost:4318"),
        (lambda: Target("http://host", headers={"x key": "k"}), "'x key' is no name of a header"),
        (lambda: Target("http://host", headers={"x-key": " k"}), "x-key begins with a blank"),
        (lambda: Target("http://host", name=7), "the name of a target is a text"),  # type: ignore[arg-type]
        (lambda: Target("ftp://ada:pass@host"), "'ftp://host/v1/traces' is no target"),
        (lambda: Target("http://host:port"), "is no target"),
        (lambda: Target(""), "a target is a URL"),
        (lambda: Target("http://host", rate=2), "rate of a target is a number from 0 to 1, not 2"),
        (lambda: Target("http://host", slower_than=-1), "slower_than of a target is a number"),
        (lambda: Target("http://host", dialect="mine"), "dialect of a target is one of"),  # type: ignore[arg-type]
        (lambda: Target("http://host", redact=7), 'is "pii", "secrets", a Redactor or a function'),  # type: ignore[arg-type]
        (lambda: Target("http://host", redact="secret"), "not 'secret'"),
        (lambda: Target("http://host", headers={"a": "b\nc: d"}), "each of one line"),
        (lambda: Target("http://host", headers={"a": "Bearer …"}), "Latin-1"),
        (lambda: Target("http://host/otlp", metrics=True), "metrics go where /v1/traces is"),
        (lambda: agentops.init(export="nowhere"), "export (from init()) cannot be used: 'nowhere"),
        (lambda: agentops.init(export=["http://host", "http://host/"]), "two targets are called http://host/v1/traces"),
        (lambda: agentops.init(export=[7]), "not int"),  # type: ignore[list-item]
    ],
)
def test_what_cannot_be_used_is_said_at_once(store: Path, wrong: Callable[[], object], says: str) -> None:
    with pytest.raises(UsageError) as problem:
        wrong()
    assert says in str(problem.value) and "pass@" not in str(problem.value)


@pytest.mark.parametrize("where", ["variable", "file", "variable and init()"])
def test_a_target_that_settings_name_wrongly_costs_the_export_alone(
    program: Run, tmp_path: Path, where: str, read: Callable[[Path], list[Any]]
) -> None:
    given = {"AGENTOPS_EXPORT": "localhost:4318"} if "variable" in where else {}
    if where == "file":
        (tmp_path / "agentops.toml").write_text('export = "localhost:4318"\n')
    said = "agentops.init(quiet=True)" if "init" in where else ""
    done = program(
        f"import agentops\n{said}\nfor n in range(3):\n    with agentops.span('kept'): pass\nagentops.flush()\n",
        **given,
    )
    assert done.returncode == 0 and len(done.stderr.splitlines()) == 1, done.stderr
    origin = "agentops.toml" if where == "file" else "AGENTOPS_EXPORT"
    assert origin in done.stderr and "http:// is missing" in done.stderr and "Nothing is exported" in done.stderr
    assert [one["name"] for one in read(tmp_path / "traces.db")] == ["kept"] * 3


def test_settings_that_say_wrongly_what_is_redacted_still_withhold_everything(program: Run, tmp_path: Path) -> None:
    done = program(
        "import agentops\nwith agentops.span('kept'): pass\n",
        AGENTOPS_REDACT="pij", AGENTOPS_EXPORT="localhost:4318", AGENTOPS_RAISE="0",
    )  # fmt: skip
    assert done.returncode == 0 and "redact = 'pij'" in done.stderr
    assert not (tmp_path / "traces.db").exists()


def test_a_target_shows_nothing_that_is_secret() -> None:
    shown = repr(Target("https://ada:pass-word@host/v1/traces?key=k-1", headers={"x-key": "k-2"}, rate=0.5))
    assert shown == "Target('https://host/v1/traces', rate=0.5)"


def test_targets_stand_in_the_settings_file_too(program: Run, tmp_path: Path, sink: Sink) -> None:
    (tmp_path / "agentops.toml").write_text(
        f'export = ["console", {{ url = "{sink.url}", rate = 0.0, errors = true }}]\n'
    )
    done = program("import agentops\ntry:\n    with agentops.span('bad'): 1 / 0\nexcept ZeroDivisionError: pass\n"
                   "with agentops.span('good'): pass\n")  # fmt: skip
    assert done.returncode == 0 and len(done.stderr.splitlines()) == 2, done.stderr
    assert sink.names == ["bad"]
    (tmp_path / "agentops.toml").write_text(f'export = [{{ url = "{sink.url}", headers = {{ a = "b" }} }}]\n')
    wrong = program("import agentops\nagentops.init()\n")
    assert "headers may be secret: give them by OTEL_EXPORTER_OTLP_HEADERS" in wrong.stderr

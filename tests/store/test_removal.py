"""Taking runs out of a store: what is left is whole, and nothing else is left."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import agentops
from agentops import score, span
from agentops.exporters.jsonl import lines
from agentops.importers.spans import span_of
from agentops.importers.writing import Importer
from agentops.recorder.recorder import recorder
from agentops.store.contents import Contents, fields, numbers, references
from agentops.store.filters import parse
from agentops.store.packing import pack_and_index
from agentops.store.reader import Reader
from agentops.store.schema import connect
from agentops.store.upkeep import Store

PROMPTS = [f"You are assistant number {n}. " + "Answer in full sentences. " * 12 for n in range(2)]
PIECES = [f"piece {n} " + f"of common knowledge {n} " * 12 for n in range(6)]
USERS = ["ada", "bob", "cleo"]


def reachable(store: Path) -> set[int]:
    """Contents that spans and events of the store mean, and all that these refer to."""
    connection = connect(str(store))
    contents = Contents(connection)
    todo: list[int] = []
    for given, output, body in connection.execute(
        "SELECT input, output, body FROM spans UNION ALL SELECT NULL, NULL, body FROM events"
    ):
        todo += [number for number in (given, output, *numbers(fields(body))) if number]
    found: set[int] = set()
    while todo:
        number = todo.pop()
        if number and number not in found:
            found.add(number)
            loaded = contents.load(number)
            assert loaded is not None, f"content {number} is missing"
            previous, children = references(*loaded)
            todo += [previous, *children]
    connection.close()
    return found


def there(store: Path) -> tuple[set[int], set[int], set[int]]:
    """Contents in the store; those that somebody looks for by their bytes; those that wait for a journal's end."""
    connection = connect(str(store))
    contents = Contents(connection)
    found = {number for (number,) in connection.execute("SELECT id FROM fresh")}
    for (first,) in connection.execute("SELECT first FROM blocks"):
        found |= contents.read(first).keys()
    keyed = {number for (number,) in connection.execute("SELECT id FROM contents")}
    orphans = {number for (number,) in connection.execute("SELECT content FROM orphans")}
    connection.close()
    return found, keyed, orphans


class Upkeep(RuleBasedStateMachine):
    """Records, imports, prunes and forgets in any order, beside a model that keeps what should be there."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="agentops-upkeep-"))
        self.store = self.folder / "traces.db"
        self.runs: dict[str, dict[str, Any]] = {}
        self.exported: dict[str, list[str]] = {}
        self.count = 0
        recorder.store = recorder._place = None
        recorder.given.clear()
        agentops.init(store=str(self.store))

    def teardown(self) -> None:
        agentops.shutdown()
        with Store(str(self.store)) as store:
            store.prune(parse("-name:nobody"))
        found, keyed, orphans = there(self.store)
        assert (found, keyed, orphans) == (set(), set(), set())
        connection = sqlite3.connect(self.store)
        for table in ("traces", "spans", "events", "scores", "uses", "keeps", "names", "instructions", "fresh_text"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
        connection.close()
        recorder.store = recorder._place = None
        recorder.given.clear()
        shutil.rmtree(self.folder)

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.record(1)

    @rule(runs=st.integers(1, 6))
    def record(self, runs: int) -> None:
        for _ in range(runs):
            self.count += 1
            word = f"unique{self.count}word"
            user = self.random.choice(USERS)
            failed = self.random.random() < 0.2
            values: list[Any] = []
            with contextlib.suppress(ValueError), span(f"run {self.count}", kind="agent", user=user) as root:
                history: list[dict[str, str]] = [{"role": "system", "content": self.random.choice(PROMPTS)}]
                for turn in range(self.random.randint(1, 3)):
                    text = self.random.choice(PIECES) if self.random.random() < 0.5 else f"{word} {turn} " * 20
                    history = [*history, {"role": "user", "content": text}]
                    answer = {"text": self.random.choice(PIECES), "more": f"{word} said {turn} " * 15}
                    with span("call", kind="llm", input=history) as call:
                        call.set_attribute("note", self.random.choice(PIECES))
                        call.add_event("thought", {"about": f"{word} " * 30})
                        call.output = answer
                    values.append((history, answer))
                if failed:
                    raise ValueError(word)
            if self.random.random() < 0.2:
                score("good", 1, trace=root)
            self.runs[f"{root.get_span_context().trace_id:032x}"] = {"word": word, "user": user, "values": values}
        assert agentops.flush()

    @rule()
    def end_the_journal(self) -> None:
        agentops.shutdown()

    @rule()
    def pack(self) -> None:
        connection = connect(str(self.store))
        pack_and_index(connection, Contents(connection), everything=True)
        connection.close()

    @precondition(lambda self: self.runs)
    @rule(user=st.sampled_from(USERS))
    def prune(self, user: str) -> None:
        with Store(str(self.store)) as store:
            store.prune(parse(f"user:{user}"))
        self.runs = {trace: run for trace, run in self.runs.items() if run["user"] != user}

    @precondition(lambda self: self.runs)
    @rule(at=st.integers(0, 1000))
    def prune_one(self, at: int) -> None:
        trace = list(self.runs)[at % len(self.runs)]
        with Store(str(self.store)) as store:
            assert store.prune(parse(f"trace:{trace}")).traces == 1
        del self.runs[trace]

    @rule(user=st.sampled_from(USERS))
    def forget(self, user: str) -> None:
        agentops.shutdown()  # this process could not do both, record and wait for itself
        with Store(str(self.store)) as store:
            assert store.forget(user=user).held == []
        gone = {trace: run for trace, run in self.runs.items() if run["user"] == user}
        self.runs = {trace: run for trace, run in self.runs.items() if trace not in gone}
        assert there(self.store)[0] == reachable(self.store)
        everything = b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())
        for trace, run in gone.items():
            assert run["word"].encode() + b" " not in everything
            assert bytes.fromhex(trace) not in everything

    @rule()
    def export(self) -> None:
        with Reader(str(self.store)) as reader:
            for trace in reader.iter_traces():
                self.exported[trace.trace_id] = list(lines(reader, iter([trace])))
                self.exported[trace.trace_id].append(json.dumps(self.runs[trace.trace_id]))

    @precondition(lambda self: self.exported)
    @rule(at=st.integers(0, 1000))
    def import_again(self, at: int) -> None:
        trace = list(self.exported)[at % len(self.exported)]
        *texts, run = self.exported[trace]
        with Importer(str(self.store)) as importer:
            importer.begin_file()
            for text in texts:
                importer.add(span_of(json.loads(text)), len(text), newest_first=True)
        self.runs[trace] = json.loads(run)

    @invariant()
    def what_should_be_there_is_whole(self) -> None:
        with Reader(str(self.store)) as reader:
            assert {trace.trace_id for trace in reader.iter_traces()} == set(self.runs)
            for trace in reader.iter_traces():
                calls = [detail for detail in reader.details(trace) if detail.row.name == "call"]
                run = self.runs[trace.trace_id]
                assert [[call.input, call.output] for call in calls] == [list(value) for value in run["values"]]
                assert [found.trace_id for found in reader.traces(parse(run["word"]))] == [trace.trace_id]
            for prompt in ("number 0", "number 1"):
                having = {t for t, r in self.runs.items() if prompt in r["values"][0][0][0]["content"]}
                found = {trace.trace_id for trace in reader.traces(parse(f'"assistant {prompt}"'))}
                assert found <= having
                assert bool(found) == bool(having)

    @invariant()
    def nothing_is_left_over(self) -> None:
        found, keyed, orphans = there(self.store)
        assert found == reachable(self.store) | orphans
        assert keyed <= found


def check(examples: int, steps: int) -> None:
    limits = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None,
        suppress_health_check=list(HealthCheck), derandomize=True,
    )  # fmt: skip
    run_state_machine_as_test(Upkeep, settings=limits)


def test_whatever_is_taken_out_what_stays_is_whole_and_nothing_is_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "1")
    monkeypatch.delenv("AGENTOPS_STORE", raising=False)
    agentops.shutdown()
    check(12, 12)


@pytest.mark.proof
def test_the_same_at_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTOPS_RAISE", "1")
    agentops.shutdown()
    check(300, 40)

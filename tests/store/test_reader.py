"""Listing, finding and opening runs, and stores that cannot be read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import agentops
from agentops import span
from agentops.errors import NotFound, StoreDamaged, StoreTooNew, UsageError
from agentops.exporters.jsonl import lines
from agentops.store.filters import parse
from agentops.store.health import checks
from agentops.store.location import StorePath
from agentops.store.reader import Reader
from agentops.store.schema import VERSION
from agentops.store.tree import tree

Read = Callable[[str], Reader]
Record = Callable[[str], Path]


# -- lists -------------------------------------------------------------------------------------------


def test_the_newest_run_is_first_and_a_limit_keeps_the_newest(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        assert [trace.name for trace in reader.traces()] == ["nightly", "greet", "refund ticket"]
        assert [trace.name for trace in reader.traces(limit=2)] == ["nightly", "greet"]
        assert len(reader.traces(limit=None)) == reader.count() == 3


def test_a_run_is_summed_up_in_its_line(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        refund = reader.traces()[2]
    assert (refund.kind, refund.status, refund.spans, refund.errors, refund.llm_calls) == ("agent", "ok", 3, 1, 1)
    assert (refund.input_tokens, refund.output_tokens, refund.tokens) == (900, 200, 1100)
    assert (refund.session, refund.user, refund.tags) == ("s-1", "ada", ["prod", "eu"])
    assert refund.duration_ns is not None and refund.duration_ns > 0
    assert (refund.cost_usd, refund.unpriced) == (0.0019, 0)  # 900 tokens for $1 a million, and 200 for $5


@pytest.mark.parametrize("page", [1, 3, 7])
def test_pages_hold_every_run_once_where_many_start_at_the_same_time(record: Record, page: int) -> None:
    store = record("for n in range(17):\n    with span(f'r{n}'): pass")
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE traces SET start_ns = 1000 + no / 6")
    connection.close()
    with Reader(str(store)) as reader:
        whole = [trace.name for trace in reader.traces(limit=None)]
        paged: list[str] = []
        last = None
        while part := reader.traces(limit=page, before=last):
            paged += [trace.name for trace in part]
            last = part[-1]
    assert paged == whole
    assert len(set(paged)) == 17


def test_pages_go_on_under_a_filter(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        (first,) = reader.traces(parse("tag:prod"), limit=1)
        assert [trace.name for trace in reader.traces(parse("tag:prod"), before=first)] == ["refund ticket"]


def test_a_run_that_is_still_open_is_running_and_then_ok(store: Path) -> None:
    with span("long run", kind="agent"):
        assert agentops.flush()
        with Reader(str(store)) as reader:
            (trace,) = reader.traces(parse("status:running"))
            assert (trace.end_ns, trace.duration_ns, trace.open) == (None, None, 1)
    assert agentops.flush()
    with Reader(str(store)) as reader:
        assert [trace.status for trace in reader.traces()] == ["ok"]


def test_a_run_whose_program_died_is_interrupted(record: Record) -> None:
    store = record(
        """
        import os
        run = span("cut off", kind="agent").__enter__()
        with span("done", kind="tool"): pass
        os._exit(0)
        """
    )
    with Reader(str(store)) as reader:
        (trace,) = reader.traces(parse("status:interrupted"))
        assert (trace.name, trace.end_ns) == ("cut off", None)
        assert {row.name: row.status for row in reader.spans(trace)} == {"cut off": "interrupted", "done": "ok"}


def test_what_was_recorded_after_opening_is_there_after_refresh(record: Record) -> None:
    with Reader(str(record("with span('first'): pass"))) as reader:
        record("import os\nwith span('second'): pass\nos._exit(0)")
        assert reader.refresh()
        assert [trace.name for trace in reader.traces()] == ["second", "first"]


def test_an_unknown_cost_is_neither_more_nor_less_than_anything(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        assert [trace.name for trace in reader.traces(parse("cost<5"))] == ["greet", "refund ticket"]
        assert reader.traces(parse("cost>5")) == []
        assert len(reader.traces(parse("-cost>5"))) == 3


# -- one run -----------------------------------------------------------------------------------------


def test_a_run_is_found_by_its_id_the_beginning_of_it_or_as_the_latest(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        newest, other = reader.traces()[:2]
        assert reader.trace("latest") == newest
        assert reader.trace(other.trace_id) == other
        assert reader.trace(other.trace_id[:16].upper()) == other
        assert reader.trace(other.trace_id[:15]) == other  # an odd number of digits


def test_a_beginning_that_several_ids_have_is_refused(record: Record) -> None:
    store = record("for n in range(20):\n    with span('r'): pass")  # 20 runs, 16 first digits
    with Reader(str(store)) as reader:
        firsts = [trace.trace_id[0] for trace in reader.traces()]
        shared = next(digit for digit in firsts if firsts.count(digit) > 1)
        with pytest.raises(UsageError, match=f"several traces begin with '{shared}'"):
            reader.trace(shared)


def test_an_id_that_nobody_has_is_not_found(shop: Path) -> None:
    with Reader(str(shop)) as reader, pytest.raises(NotFound, match="there is no trace '0000000000000000'"):
        reader.trace("0" * 16)


@pytest.mark.parametrize("word", ["", "newest", "zz", "a" * 33, "ab ", "latest "])
def test_what_can_be_no_id_is_called_wrongly(shop: Path, word: str) -> None:
    with Reader(str(shop)) as reader:
        with pytest.raises(UsageError, match="no trace's id") as caught:
            reader.trace(word)
        assert not isinstance(caught.value, NotFound)


def test_a_span_is_opened_by_its_id_and_a_wrong_one_is_not_found(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        trace = reader.traces()[2]
        row = reader.spans(trace)[2]
        assert reader.span(trace, row.hex_id) == reader.span(trace, row.span_id)
        detail = reader.span(trace, row.hex_id)
        assert detail.input == {"amount": 12}
        assert detail.exception is not None and detail.exception["message"] == "card was declined"
        with pytest.raises(NotFound, match="has no span"):
            reader.span(trace, "0000000000000001")
        with pytest.raises(UsageError):
            reader.span(trace, "no hex")


def test_the_tree_of_a_recorded_run_is_that_of_its_with_blocks(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        rows = tree(reader.spans(reader.trace("latest")))
    assert [(row.span.name, row.depth, row.below, row.last) for row in rows] == [
        ("nightly", 0, 2, True), ("pay", 1, 0, False), ("look up", 1, 0, True),
    ]  # fmt: skip


def test_scores_are_read_in_the_order_of_being_given(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        scores = reader.scores(reader.traces()[2])
    assert [(score.name, score.value, score.span_id) for score in scores] == [
        ("helpful", 0.25, None), ("verdict", "bad", None),
    ]  # fmt: skip


# -- stores that cannot be read ----------------------------------------------------------------------


def test_where_nothing_was_recorded_there_is_no_store_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing was recorded here yet"):
        Reader(str(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(record: Record) -> None:
    store = record("with span('a'): pass")
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA user_version = 99")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = store.read_bytes()
    with pytest.raises(StoreTooNew, match=r"newer agentops \(format 99"):
        Reader(str(store))
    assert store.read_bytes() == before


def test_a_store_of_a_newer_version_keeps_the_journals_for_it(record: Record) -> None:
    store = record("with span('a'): pass")
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    record("import os\nwith span('b'): pass\nos._exit(0)")
    with pytest.raises(StoreTooNew):
        Reader(str(store))
    connection = sqlite3.connect(store)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.close()
    with Reader(str(store)) as reader:
        assert [trace.name for trace in reader.traces()] == ["b", "a"]


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    store.write_bytes(b"this is a letter and no database " * 400)
    with pytest.raises(StoreDamaged, match="Move it aside"):
        Reader(str(store))


def spoil(store: Path) -> None:
    """Overwrite all pages but the first."""
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = store.stat().st_size
    with store.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


def test_a_store_with_spoilt_pages_is_damaged(record: Record) -> None:
    store = record("for n in range(30):\n    with span(f'r{n}', input='word ' * 300): pass")
    spoil(store)
    with pytest.raises(StoreDamaged), Reader(str(store)) as reader:
        reader.traces(limit=None)


def test_content_that_is_damaged_is_a_store_error_and_no_traceback_of_sqlite(record: Record) -> None:
    store = record(
        "with span('a', input='word ' * 3000) as s: s.set_attribute('k', 'other ' * 300)\nagentops.shutdown()"
    )
    connection = sqlite3.connect(store)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert "blocks" in tables
    connection.execute("DROP TABLE blocks")
    connection.commit()
    connection.close()
    with Reader(str(store)) as reader, pytest.raises(StoreDamaged):
        list(lines(reader, reader.iter_traces()))


def test_an_empty_file_is_a_store_that_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "traces.db").write_bytes(b"")
    with Reader(str(tmp_path / "traces.db")) as reader:
        assert reader.traces() == []
        with pytest.raises(NotFound, match="holds no traces yet"):
            reader.trace("latest")


def test_a_good_store_passes_all_checks_of_its_health(shop: Path) -> None:
    found = {check.name: check for check in checks(StorePath(str(shop), "given"))}
    assert all(check.ok for check in found.values())
    assert found["traces"].says.startswith("3 traces, 8 spans")
    assert found["integrity"].says == "ok"


def test_a_damaged_store_fails_the_check_of_its_health_with_advice(record: Record) -> None:
    store = record("for n in range(30):\n    with span(f'r{n}', input='word ' * 300): pass")
    spoil(store)
    bad = [check for check in checks(StorePath(str(store), "given")) if not check.ok]
    assert bad and all(check.advice for check in bad)


def test_every_line_of_an_export_is_one_line_of_json(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        exported = list(lines(reader, reader.iter_traces(parse("user:ada"))))
    assert [json.loads(line)["name"] for line in exported] == ["refund ticket", "ask model", "pay"]
    assert not any("\n" in line for line in exported)


# -- what came in ------------------------------------------------------------------------------------


def test_changes_has_the_spans_that_came_in_and_nothing_twice(record: Record) -> None:
    store = record("with span('old'): pass")
    with Reader(str(store)) as reading:
        first = reading.changes()
        assert [trace.name for trace, _ in first.traces] == ["old"]
        assert reading.changes(first).traces == ()
        record("with span('new'):\n  with span('inner'): pass")
        second = reading.changes(first)
        assert [(trace.name, [span.name for span in spans]) for trace, spans in second.traces] == [
            ("new", ["new", "inner"])
        ]
        assert reading.changes(second).traces == ()


def test_changes_has_what_is_open_and_says_when_it_is_cut_off(record: Record) -> None:
    store = record("import os\nspan('open').__enter__()\nos._exit(0)")
    reading = Reader(str(store))
    with reading:
        first = reading.changes()
        assert [span.status for _, spans in first.traces for span in spans] == ["interrupted"]
        assert not first.open
        record("with span('old'): pass\nagentops.shutdown()\nspan('again').__enter__()\nimport os\nos._exit(0)")
        reading.refresh()
        found = {trace.name: spans[0].status for trace, spans in reading.changes(first).traces}
        assert found == {"old": "ok", "again": "interrupted"}


def test_what_calls_cost_is_added_up_and_unknown_where_nobody_said_it(reader: Callable[[str], Reader]) -> None:
    reading = reader("""
        for costs in ([0.25, None, 0.5], [None], [True, "1", -1, float("nan")]):
            with span("run"):
                for cost in costs:
                    with span("chat", kind="llm", attributes={} if cost is None else {"llm.cost.total": cost}):
                        pass
        with span("late") as run:
            agentops.flush()
            with span("chat", kind="llm") as call:
                agentops.flush()
                call.set_attribute("llm.cost.total", 2)
        """)
    assert [trace.cost_usd for trace in reversed(reading.traces())] == [0.75, None, None, 2.0]
    assert [trace.name for trace in reading.traces(parse("cost>0.7"))] == ["late", "run"]


# -- what the explorer asks --------------------------------------------------------------------------


def test_a_list_can_be_entered_anywhere(record: Record) -> None:
    store = record("for n in range(9):\n    with span(f'r{n}', input='word two'): pass")
    with Reader(str(store)) as reader:
        whole = reader.traces()
        assert reader.traces(skip=4, limit=3) == whole[4:7]
        assert reader.traces(skip=7) == whole[7:]
        assert reader.traces(parse('"word two"'), skip=4, limit=3) == whole[4:7]


def test_spans_of_one_status_and_the_root_of_a_run(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        refund = reader.traces()[2]
        assert [span.name for span in reader.spans(refund, "error")] == ["pay"]
        assert reader.spans(refund, "running") == []
        root = reader.root(refund)
    assert root is not None and root.name == "refund ticket" and root.parent_id is None


def test_changes_gives_the_spans_of_those_runs_alone_that_are_asked_for(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        newest = reader.traces()[0]
        found = {trace.name: len(spans) for trace, spans in reader.changes(of={newest.no}).traces}
    assert found == {"nightly": 3, "greet": 0, "refund ticket": 0}


def test_a_store_can_be_seen_before_its_journals_are_brought_in(record: Record) -> None:
    store = record("import os, threading\nwith span('first'): pass\nassert agentops.flush()")
    record("import os\nwith span('second'): pass\nos._exit(0)")
    with Reader(str(store), ingest=False) as reader:
        assert [trace.name for trace in reader.traces()] == ["first"]
        assert reader.refresh()
        assert [trace.name for trace in reader.traces()] == ["second", "first"]


def test_one_span_inherits_session_and_tags_as_it_does_among_all(record: Record) -> None:
    store = record(
        """
        with span("run", session="s-9", tags=["a"]):
            with span("turn", user="eve"):
                with span("call"):
                    pass
        """
    )
    with Reader(str(store)) as reader:
        (trace,) = reader.traces()
        for whole in reader.details(trace):
            assert reader.span(trace, whole.row.span_id) == whole
        assert (whole.session, whole.user, whole.tags) == ("s-9", "eve", ["a"])


def test_a_run_is_found_by_the_session_and_user_of_what_is_inside(record: Callable[[str], Path]) -> None:
    store = record(
        """
        with span("GET /tickets"):
            with span("answer", session="s-17", user="u-4", tags=["vip"]):
                with span("chat"): pass
        agentops.flush()
        with span("GET /late"):
            agentops.flush()
            with span("answer", session="s-18"): pass
            agentops.flush()
        with span("own", session="of the root"):
            with span("answer", session="of the inside"): pass
        """
    )
    with Reader(str(store)) as reader:
        traces = {trace.name: trace for trace in reader.traces()}
        assert [t.name for t in reader.traces(parse(["user:u-4", "session:s-17", "tag:vip"]))] == ["GET /tickets"]
        assert traces["GET /late"].session == "s-18"
        assert traces["own"].session == "of the root"
        sessions = {d.row.name: d.session for d in reader.details(traces["GET /tickets"])}
        assert sessions == {"GET /tickets": None, "answer": "s-17", "chat": "s-17"}

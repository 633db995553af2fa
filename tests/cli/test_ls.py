"""`agentops ls`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentops.cli.schemas import SCHEMAS
from agentops.formats import duration

Agentops = Callable[..., Any]


def test_a_line_a_run_with_what_it_took_and_cost(agentops: Agentops, shop: Path) -> None:
    done = agentops("ls", store=shop)
    assert (done.code, done.err) == (0, "")
    head, *rows = done.lines
    assert head.split() == ["trace", "name", "when", "took", "spans", "tokens", "cost", "errors"]
    assert [row[11:19].strip() for row in rows] == ["greet 2", "greet 1", "greet 0", "refund t"]
    columns = rows[3][43:].split()
    assert columns[-3:] == ["3", "1.1k", "1"]  # spans, tokens, errors; no cost is known


def test_columns_stand_below_their_heads_whatever_the_names(agentops: Agentops, record: Any) -> None:
    record(
        """
        with span("払い戻し" * 20): pass
        with span("e\\u0301" * 60): pass
        with span("x" * 300): pass
        """
    )
    from agentops.formats import cells

    head, *rows = agentops("ls").lines
    end = head.index(" spans") + len(" spans")
    assert [cells(row) for row in rows] == [end] * 3


def test_a_status_has_a_mark_and_not_only_a_colour(agentops: Agentops, record: Any) -> None:
    record(
        """
        import os
        try:
            with span("failed"): raise ValueError("no")
        except ValueError: pass
        with span("well"): pass
        span("cut off").__enter__()
        os._exit(0)
        """
    )
    marks = {line.split()[2 if line[0] != " " else 1]: line[0] for line in agentops("ls").lines[1:]}
    assert marks == {"failed": "✗", "well": " ", "cut": "○"}
    marks = {line.split()[2 if line[0] != " " else 1]: line[0] for line in agentops("ls", "--ascii").lines[1:]}
    assert marks == {"failed": "x", "well": " ", "cut": "o"}


def test_a_run_that_was_cut_off_says_when_it_was_heard_of_last(agentops: Agentops, record: Any) -> None:
    record(
        """
        import os, threading, time
        with span("whole"): pass
        silent = threading.Thread(target=lambda: span("silent").__enter__())
        silent.start()
        silent.join()
        with span("heard") as run:
            with span("step"): pass
            time.sleep(0.2)
            run.add_event("said")
            os._exit(0)
        """
    )
    traces = {trace["name"]: trace for trace in agentops("ls", "--json").object["traces"]}
    assert (traces["whole"]["last_time_unix_nano"], traces["whole"]["last_time"]) == (None, None)
    assert traces["silent"]["last_time_unix_nano"] == traces["silent"]["start_time_unix_nano"]
    heard, (exported, *_) = traces["heard"], [json.loads(text) for text in agentops("export", "name:heard").lines]
    assert heard["end_time_unix_nano"] is heard["duration_ns"] is None
    assert heard["last_time_unix_nano"] == exported["events"][0]["time_unix_nano"]
    head, *lines = agentops("ls").lines
    end = head.index("took") + len("took")
    took = {line[11:18].strip(): line[end - 7 : end].strip() for line in lines}
    assert took.pop("whole").endswith("ms")
    since = heard["last_time_unix_nano"] - heard["start_time_unix_nano"]
    assert took == {"heard": f"{duration(since)}+", "silent": "cut off"}


def test_a_last_line_says_that_there_are_more(agentops: Agentops, shop: Path) -> None:
    done = agentops("ls", "--limit", "2", store=shop)
    assert len(done.lines) == 3, "a program that reads the list gets nothing else"
    assert done.err == "more than 2: --limit 0 shows all\n"
    assert agentops("ls", "--limit", "4", store=shop).err == ""


def test_limit_zero_shows_all(agentops: Agentops, record: Any) -> None:
    record("for n in range(25):\n    with span(f'r{n}'): pass")
    assert len(agentops("ls").lines) == 1 + 20
    assert len(agentops("ls", "--limit", "0").lines) == 1 + 25


def test_spans_are_listed_with_their_errors(agentops: Agentops, shop: Path) -> None:
    done = agentops("ls", "--spans", "kind:tool", store=shop)
    head, row = done.lines
    assert head.split() == ["trace", "span", "kind", "name", "when", "took", "tokens", "error"]
    assert row[0] == "✗"
    assert row.endswith("ValueError: card was declined")


def test_a_negated_word_is_a_filter_and_no_option(agentops: Agentops, shop: Path) -> None:
    assert "refund" not in agentops("ls", "-kind:tool", store=shop).out
    done = agentops("ls", "--limit", "1", "-kind:tool", "-name:2", "--json", store=shop)
    assert [trace["name"] for trace in done.object["traces"]] == ["greet 1"]


def test_words_and_options_come_in_any_order(agentops: Agentops, shop: Path) -> None:
    done = agentops("ls", "kind:llm", "--json", "-kind:tool", "--limit", "5", "name:hello", store=shop)
    assert len(done.object["traces"]) == 3


def test_an_empty_store_says_that_nothing_was_recorded(agentops: Agentops, tmp_path: Path) -> None:
    (tmp_path / "traces.db").write_bytes(b"")
    done = agentops("ls")
    assert (done.code, done.out) == (0, "nothing was recorded yet\n")
    assert agentops("ls", "--json").object["traces"] == []


def test_a_filter_that_selects_nothing_says_so(agentops: Agentops, shop: Path) -> None:
    done = agentops("ls", "user:nobody", store=shop)
    assert (done.code, done.out) == (0, "nothing matches\n")
    assert agentops("ls", "--spans", "user:nobody", store=shop).out == "nothing matches\n"


@pytest.mark.parametrize("words", [["ls"], ["ls", "--spans"], ["ls", "--limit", "1"], ["ls", "user:nobody"]])
def test_as_json_it_is_what_the_schema_says(agentops: Agentops, shop: Path, words: list[str]) -> None:
    found = agentops(*words, "--json", store=shop).object
    SCHEMAS["ls"].model_validate(found, strict=True)
    assert found["more"] == ("1" in words)

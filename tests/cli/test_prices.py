"""`agentops prices` and `agentops reprice`, and where a list says that a cost is not whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentops import prices
from agentops.cli.schemas import SCHEMAS
from agentops.store.reader import Reader

Agentops = Callable[..., Any]

#: A model that no list knows, one that the list knows, and a cost that somebody said.
PROGRAM = """
with span("run", kind="agent", tags=["a"]):
    for model, more in (("house-model", {}), ("claude-sonnet-5", {}), ("claude-sonnet-5", {"llm.cost.total": 0.5})):
        with span("ask", kind="llm", attributes={
            "gen_ai.request.model": model, "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 0, **more,
        }):
            pass
with span("house", kind="agent", tags=["b"]):
    with span("ask", kind="llm", attributes={
        "gen_ai.request.model": "house-model", "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 0,
    }):
        pass
"""
TABLE = '[prices."house-*"]\ninput = 0.3\noutput = 1\nover.500 = { input = 0.7 }\n'


@pytest.fixture
def run(record: Callable[[str], Path]) -> Path:
    return record(PROGRAM)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    prices.forget_own()


def test_a_cost_that_is_not_whole_says_so_wherever_it_stands(agentops: Agentops, run: Path) -> None:
    _, house, whole = agentops("ls").lines
    assert (house.split()[-1], whole.split()[-1]) == ("unpriced", "$0.502+")
    assert "$0.502 · 1 call unpriced" in agentops("show", _id(agentops, 1)).out
    assert [trace["unpriced"] for trace in agentops("ls", "--json").object["traces"]] == [1, 1]
    stats = agentops("stats")
    assert "2 calls have no price: not in the cost" in stats.out
    assert "unpriced" in next(line for line in stats.lines if line.startswith("house-model"))


def test_the_rows_of_calls_are_in_the_json_of_a_trace(agentops: Agentops, run: Path) -> None:
    done = agentops("show", _id(agentops, 1), "--json")
    SCHEMAS["show"].model_validate_json(done.out)
    house, listed, said = done.object["calls"]
    assert (house["cost"], listed["cost"], said["cost"]) == (None, "0.002", "0.5")
    assert (house["price"], said["price"]) == (None, None)
    assert listed["price"]["entry"] == "anthropic:claude-sonnet-5"
    assert listed["usage"]["fresh_input"] == 1000


def test_prices_shows_which_entry_holds_and_whose_it_is(agentops: Agentops, tmp_path: Path) -> None:
    (tmp_path / "agentops.toml").write_text(TABLE + '[prices."claude-sonnet-5"]\ninput = 1.5\noutput = 7\n')
    done = agentops("prices", "claude-sonnet-5")
    assert done.code == 0
    own, listed = done.lines[1:3]
    assert own.strip() == f"claude-sonnet-5: input $1.5, output $7  ({tmp_path / 'agentops.toml'})"
    assert "anthropic:claude-sonnet-5: input $2, cache_read $0.2" in listed
    assert "(genai-prices " in listed
    assert "house-*, over 500 tokens: input $0.7" in agentops("prices", "house-model").out


def test_prices_of_a_day_in_the_past_are_those_of_that_day(agentops: Agentops, tmp_path: Path) -> None:
    (tmp_path / "agentops.toml").write_text(
        '[[prices.m]]\ninput = 1\n[[prices.m]]\nfrom = 2026-06-01\ninput = 2\n'
    )  # fmt: skip
    assert "input $2" in agentops("prices", "m").out
    assert "input $1  (" in agentops("prices", "m", "--on", "2026-05-31").out
    assert agentops("prices", "m", "--on", "yesterday").code == 2


def test_prices_of_a_model_that_no_list_has_is_a_problem(agentops: Agentops) -> None:
    done = agentops("prices", "no-such-model")
    assert done.code == 1
    assert "unpriced: no list has it" in done.out


def test_prices_without_a_model_are_those_of_all_that_were_called(agentops: Agentops, run: Path) -> None:
    done = agentops("prices", "--json")
    SCHEMAS["prices"].model_validate_json(done.out)
    assert [(one["model"], one["calls"], one["unpriced"]) for one in done.object["models"]] == [
        ("claude-sonnet-5", 2, 0), ("house-model", 2, 2)
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", ["input = -1", 'input = "dear"', "inptu = 1", "input = 0.12345678"])
def test_prices_checks_the_table_in_the_file(agentops: Agentops, tmp_path: Path, wrong: str) -> None:
    (tmp_path / "agentops.toml").write_text(f"[prices.m]\n{wrong}\n")
    done = agentops("prices", "m")
    assert done.code == 2
    assert "agentops.toml" in done.err and "'m'" in done.err


def test_reprice_corrects_the_past_and_says_what_changed(agentops: Agentops, run: Path, tmp_path: Path) -> None:
    (tmp_path / "agentops.toml").write_text(TABLE)
    before = costs(run)
    dry = agentops("reprice", "--dry-run")
    assert "of 3 calls 2 would change: $0.002 -> $0.0027009, 2 had no price" in dry.out
    assert "2 of 2 calls: unpriced -> $0.0007009" in dry.out
    assert costs(run) == before
    done = agentops("reprice", "--json")
    SCHEMAS["reprice"].model_validate_json(done.out)
    assert done.object["total"] == {
        "model": None, "calls": 3, "changed": 2, "priced": 2, "kept": 0, "unpriced": 0, "before": "0.002",
        "after": "0.0027009",
    }  # fmt: skip
    assert costs(run) == {"run": (0.5027, 0, [7 * 10**8, 2 * 10**9, 5 * 10**11]), "house": (9e-7, 0, [900_000])}


def test_reprice_twice_changes_nothing_more(agentops: Agentops, run: Path, tmp_path: Path) -> None:
    (tmp_path / "agentops.toml").write_text(TABLE)
    agentops("reprice")
    first = costs(run)
    done = agentops("reprice", "--json")
    assert (done.object["total"]["changed"], costs(run)) == (0, first)


def test_reprice_takes_the_traces_that_the_filter_selects(agentops: Agentops, run: Path, tmp_path: Path) -> None:
    (tmp_path / "agentops.toml").write_text(TABLE)
    assert agentops("reprice", "tag:b", "--json").object["total"]["changed"] == 1
    assert (costs(run)["house"][1], costs(run)["run"][1]) == (0, 1)


def test_reprice_keeps_a_price_that_no_list_has_any_more(agentops: Agentops, run: Path, tmp_path: Path) -> None:
    (tmp_path / "agentops.toml").write_text(TABLE)
    agentops("reprice")
    priced = costs(run)
    (tmp_path / "agentops.toml").unlink()
    done = agentops("reprice", "--json")
    assert (done.object["total"]["kept"], costs(run)) == (2, priced)


def _id(agentops: Agentops, place: int) -> str:
    return str(agentops("ls", "--json").object["traces"][place]["trace_id"])


def costs(store: Path) -> dict[str, tuple[float | None, int, list[int | None]]]:
    """Of each trace: its cost, how many calls are unpriced, and the calls' costs."""
    with Reader(str(store)) as reader:
        return {
            trace.name: (trace.cost_usd, trace.unpriced, [call.cost_pico for call in reader.calls(trace)])
            for trace in reader.traces()
        }

"""The filter language: what it takes, what it says about what it does not take, and what it selects."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentops.errors import FilterError, UsageError
from agentops.store.filters import KEYS, NUMBERS, Term, parse
from agentops.store.reader import Reader

Selected = Callable[[str], list[str]]
ALL = ["refund ticket", "greet", "nightly"]
HOUR_NS = 3_600_000_000_000


# -- parsing -----------------------------------------------------------------------------------------


def test_words_keys_and_negations_are_told_apart() -> None:
    terms = parse('Status:ERROR -kind:tool took>1.5s "could not" -"be paid" ping').terms
    assert terms == (
        Term("status", ":", "error"),
        Term("kind", ":", "tool", negated=True),
        Term("took", ">", 1.5e9),
        Term("text", ":", "could not"),
        Term("text", ":", "be paid", negated=True),
        Term("text", ":", "ping"),
    )


@pytest.mark.parametrize(
    ("word", "ns"), [("300ms", 3e8), ("2s", 2e9), ("5m", 3e11), ("1h", 3.6e12), ("1d", 8.64e13), (".5s", 5e8)]
)
def test_durations_have_units(word: str, ns: float) -> None:
    assert parse(f"took<{word}").terms == (Term("took", "<", ns),)


def test_a_value_may_be_quoted_for_its_spaces() -> None:
    assert parse('name:"look up" session:"a b"').terms == (Term("name", ":", "look up"), Term("session", ":", "a b"))


def test_quotes_make_text_of_what_looks_like_a_key() -> None:
    assert parse('"foo:bar"').terms == (Term("text", ":", "foo:bar"),)


def test_a_word_of_a_command_line_with_spaces_is_a_phrase() -> None:
    assert parse(["could not", "name:look up", "-kind:tool"]).terms == (
        Term("text", ":", "could not"),
        Term("name", ":", "look up"),
        Term("kind", ":", "tool", negated=True),
    )


def test_an_amount_may_have_its_dollar() -> None:
    assert parse("cost>$0.05").terms == (Term("cost", ">", 0.05),)


def test_times_are_counted_from_now_or_are_local_dates() -> None:
    assert parse("since:2h", now_ns=10 * HOUR_NS).terms == (Term("since", ":", 8 * HOUR_NS),)
    moment = time.mktime((2026, 11, 1, 10, 30, 0, -1, -1, -1)) * 1e9
    assert parse("until:2026-11-01T10:30").terms == (Term("until", ":", moment),)
    assert parse('until:"2026-11-01 10:30"').terms == (Term("until", ":", moment),)


def test_a_score_is_a_name_with_or_without_a_bound() -> None:
    assert parse("score:helpful").terms == (Term("score", ":", "helpful", name="helpful"),)
    assert parse("-score:helpful<-0.5").terms == (Term("score", "<", -0.5, negated=True, name="helpful"),)


def test_an_empty_line_selects_everything() -> None:
    assert parse("  ").terms == parse([]).terms == ()


@pytest.mark.parametrize(
    ("line", "wrong", "says"),
    [
        ("kind:tool colour:red", "colour:red", "no key 'colour'"),
        ("a status:fine b", "status:fine", "no status 'fine'; there are running, ok, error, interrupted"),
        ("kind:toll", "kind:toll", "no kind 'toll'"),
        ("x took>5", "took>5", "took takes a duration such as"),
        ("tokens>5s", "tokens>5s", "tokens takes a number, not '5s'"),
        ("tokens>many", "tokens>many", "tokens takes a number, not 'many'"),
        ("cost:3", "cost:3", "compared with > or <"),
        ("kind>tool", "kind>tool", "compared with a colon, as in kind:tool"),
        ("ok name:", "name:", "needs a value"),
        ("since:yesterday", "since:yesterday", "neither a time ago"),
        ("ok since:2026-13-01", "since:2026-13-01", "neither a time ago"),
        ("-since:1h", "-since:1h", "cannot be negated: use until"),
        ("-until:1h", "-until:1h", "cannot be negated: use since"),
        ("trace:xyz", "trace:xyz", "hex digits"),
        ("trace:" + "a" * 33, "trace:" + "a" * 33, "hex digits"),
        ('a ""', '""', "nothing between the quotes"),
        ('a "b c', '"b c', "opened and not closed"),
        ("verdict:deny", "verdict:deny", "which this version does not have yet"),
        ("  ü  kind:nö", "kind:nö", "no kind"),
    ],
)
def test_a_wrong_word_is_named_with_its_place(line: str, wrong: str, says: str) -> None:
    with pytest.raises(FilterError, match=says) as caught:
        parse(line)
    assert line[caught.value.start : caught.value.end] == wrong
    assert caught.value.line == line
    shown = str(caught.value).split("\n")
    assert shown[-2] == f"  {line}"
    assert shown[-1] == "  " + " " * line.index(wrong) + "^" * len(wrong)


def test_the_message_about_a_duration_is_a_sentence() -> None:
    with pytest.raises(FilterError) as caught:
        parse("took>5")
    assert "is no a " not in caught.value.args[0]


_PIECES = st.sampled_from([
    *KEYS, *NUMBERS, "verdict", ":", ">", "<", "-", '"', " ", "\t", "\n", "1h", "5", "2026-11-01", "9999-12-31", "$",
    ".", "error", "tool", "é", "\0", "\ud800", "٣", "٣s", "1" * 400, "0001-01-01",
])  # fmt: skip
_LINES = st.one_of(st.text(), st.lists(_PIECES).map("".join))


@given(_LINES)
@example("since:" + "9" * 400 + "d")
@example("took>" + "9" * 400 + "s")
@example("tokens<" + "9" * 400)
def test_whatever_is_typed_is_a_filter_or_a_filter_error(line: str) -> None:
    try:
        found = parse(line)
    except FilterError as problem:
        caught = problem
    else:
        assert all(term.value != "" for term in found.terms)
        return
    assert 0 <= caught.start < caught.end <= len(caught.line)
    assert str(caught).count("^") >= caught.end - caught.start


@given(st.lists(_LINES))
def test_whatever_words_a_command_line_has_are_a_filter_or_a_filter_error(words: list[str]) -> None:
    try:
        parse(words)
    except FilterError as problem:
        caught = problem
    else:
        return
    assert 0 <= caught.start < caught.end <= len(caught.line)


@given(line=_LINES)
@example(line="tokens>" + "9" * 400)
@example(line="since:" + "9" * 300 + "d")
@example(line="since:0001-01-01")
@example(line="spans>1" + "0" * 30)
@example(line="session:\ud800")
@example(line="\ud800")
@example(line="name:\0")
def test_whatever_parses_can_be_asked(shop: Path, line: str) -> None:
    try:
        found = parse(line)
    except FilterError:
        return
    with Reader(str(shop)) as reader:
        for ask in (reader.traces, reader.find_spans):
            try:
                ask(found)
            except UsageError:
                continue


# -- what is selected --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("", ALL),
        ("status:ok", ["refund ticket", "greet", "nightly"]),
        ("-status:ok", []),
        ("errors>0", ["refund ticket"]),
        ("-errors>0", ["greet", "nightly"]),
        ("errors<1", ["greet", "nightly"]),
        ("kind:retrieval", ["nightly"]),
        ("-kind:retrieval", ["refund ticket", "greet"]),
        ("kind:LLM", ["refund ticket", "greet"]),
        ("name:pay", ["refund ticket", "nightly"]),
        ("name:PAY", ["refund ticket", "nightly"]),
        ("-name:pay", ["greet"]),
        ('name:"look up"', ["nightly"]),
        ("name:%", []),
        ("name:_", []),
        ("model:haiku", ["refund ticket"]),
        ("-model:haiku", ["greet", "nightly"]),
        ("session:s-1", ["refund ticket"]),
        ("session:s", []),
        ("-session:s-1", ["greet", "nightly"]),
        ("user:bob", ["greet"]),
        ("-user:bob", ["refund ticket", "nightly"]),
        ("tag:prod", ["refund ticket", "greet"]),
        ("tag:prod tag:eu", ["refund ticket"]),
        ("-tag:eu", ["greet", "nightly"]),
        ("score:helpful", ["refund ticket", "greet"]),
        ("-score:helpful", ["nightly"]),
        ("score:helpful<0.5", ["refund ticket"]),
        ("score:helpful>0.5", ["greet"]),
        ("score:verdict", ["refund ticket"]),
        ("took<1h", ALL),
        ("took>1h", []),
        ("-took>1h", ALL),
        ("tokens>1000", ["refund ticket"]),
        ("tokens<16 tokens>14", ["greet"]),
        ("-tokens>14", ["nightly"]),
        ("spans>2", ["refund ticket", "nightly"]),
        ("spans<3", ["greet"]),
        ("cost>0", ["refund ticket", "greet"]),
        ("since:1h", ALL),
        ("until:1h", []),
        ("since:2020-01-01 until:2099-01-01", ALL),
        ("4711", ["refund ticket"]),
        ("-4711", ["greet", "nightly"]),
        ('"not be paid"', ["refund ticket"]),
        ('"paid be not"', []),
        ("paid not be", ["refund ticket"]),
        ('-"not be paid"', ["greet", "nightly"]),
        ("pay -user:ada", ["nightly"]),
    ],
)
def test_a_filter_selects_whole_runs(selected: Selected, line: str, names: list[str]) -> None:
    assert selected(line) == names


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("kind:tool declined", ["refund ticket"]),  # in nightly another span than the tool says it
        ("kind:retrieval declined", ["nightly"]),
        ("kind:llm name:pay", []),
        ("kind:tool model:haiku", []),
        ("name:pay invoice", ["nightly"]),
        ("declined 4711", []),
        ("name:ask model:gpt hello", ["greet"]),
        ("kind:tool -kind:llm", ["nightly"]),  # negated: on none of its spans
        ("kind:tool -declined", []),
        ("invoice -4711", ["nightly"]),
        ("kind:tool status:ok errors>0", ["refund ticket"]),  # these two are the run's
    ],
)
def test_what_is_about_a_span_holds_together_on_one(selected: Selected, line: str, names: list[str]) -> None:
    assert selected(line) == names


@pytest.mark.parametrize(
    ("line", "spans"),
    [
        ("kind:tool", ["nightly/pay", "refund ticket/pay"]),
        ("kind:tool status:error", ["refund ticket/pay"]),
        ("kind:tool -status:error", ["nightly/pay"]),
        ("errors>0", ["refund ticket/pay"]),
        ("-kind:agent -kind:llm", ["nightly/look up", "nightly/nightly", "nightly/pay", "refund ticket/pay"]),
        ("tokens>0", ["greet/ask model", "refund ticket/ask model"]),
        ("tokens>1000", ["refund ticket/ask model"]),
        ("model:gpt", ["greet/ask model"]),
        ("-model:gpt kind:llm", ["refund ticket/ask model"]),
        ("declined", ["nightly/look up", "refund ticket/pay"]),
        ("declined -kind:tool", ["nightly/look up"]),
        ("user:bob", ["greet/ask model", "greet/greet"]),
        ("took>1h", []),
        ("until:1h", []),
        ("name:pay -invoice", ["refund ticket/pay"]),
        ("score:verdict kind:tool", ["refund ticket/pay"]),
    ],
)
def test_of_spans_every_key_is_the_spans_own(selected_spans: Selected, line: str, spans: list[str]) -> None:
    assert selected_spans(line) == spans


def test_a_count_of_spans_makes_no_sense_of_one_span(selected_spans: Selected) -> None:
    with pytest.raises(UsageError, match="leave out --spans"):
        selected_spans("spans>2")


def test_a_trace_is_selected_by_the_beginning_of_its_id(shop: Path) -> None:
    with Reader(str(shop)) as reader:
        wanted = reader.traces()[1]
        for prefix in (wanted.trace_id, wanted.trace_id[:12], wanted.trace_id[:12].upper()):
            assert reader.traces(parse(f"trace:{prefix}")) == [wanted]
        assert wanted not in reader.traces(parse(f"-trace:{wanted.trace_id}"))

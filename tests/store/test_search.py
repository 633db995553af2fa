"""Finding a text in what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentops.errors import UsageError
from agentops.store.filters import parse
from agentops.store.reader import Reader

Read = Callable[[str], Reader]
Places = Callable[[str], list[tuple[str, str]]]

_LIBRARY = """
PROMPT = "You are the concierge of a hotel called Meridian. " + "Be kind to guests. " * 30
with span("zebra crossing", kind="tool"):
    pass
with span("given", input={"question": ["where is the walrus"], "walnutkey": 1}):
    pass
with span("answered") as s:
    s.output = "the pelican is in the garden"
with span("noted") as s:
    s.set_attribute("note", "a lone ocelot")
    s.set_attribute("long note", "filler " * 200 + "marmot")
try:
    with span("failed"):
        raise RuntimeError("an aardvark stood in the way")
except RuntimeError:
    pass
with span("happened") as s:
    s.add_event("lemur spotted", {"by": "a quokka"})
with span("nested", input={"a": [{"b": "x " * 400 + "narwhal"}, "y " * 400]}):
    pass
with span("first talk", kind="agent"):
    history = [{"role": "system", "content": PROMPT}]
    for n in range(4):
        history = [*history, {"role": "user", "content": f"question {n} about gibbons " + "padding " * 80}]
        with span(f"call {n}", kind="llm", input=history):
            pass
with span("second talk", kind="agent"):
    known = {"role": "system", "content": PROMPT}
    with span("call again", kind="llm", input=[known, {"role": "user", "content": "dingo"}]):
        pass
with span("japanese", input="申し訳ありませんが、返金できませんでした。東京都に住んでいます。"):
    pass
with span("chinese") as s:
    s.output = "我们无法退款给客户，请稍后再试。" * 40
with span("korean") as s:
    s.output = "고객에게 환불했습니다"
with span("accents", input="Ein CAFÉ in Zürich, naïve façade"):
    pass
with span("decomposed", input="a cre\\u0300me bru\\u0302le\\u0301e"):
    pass
with span("phrases", input="the quick brown fox, jumps-over"):
    pass
with span("identifiers", input="refund_payment_to_customer ERR-4711x unbelievable"):
    pass
with span("split", input=["one half tapir", "sloth other half"]):
    pass
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, recording: Callable[[str, Path], Path]) -> Path:
    """A store with many texts; only to be read."""
    return recording(_LIBRARY, tmp_path_factory.mktemp("library") / "traces.db")


@pytest.fixture
def places(library: Path) -> Iterator[Places]:
    """Where a text stands in the library: the spans' names, and the place in each."""
    with Reader(str(library)) as reader:
        yield lambda text: [(hit.span.name, hit.where) for hit in reader.search(text, 100)]


@pytest.mark.parametrize(
    ("text", "span", "where"),
    [
        ("zebra", "zebra crossing", "name"),
        ("walrus", "given", "input"),
        ("walnutkey", "given", "input"),
        ("pelican", "answered", "output"),
        ("ocelot", "noted", "attributes"),
        ("marmot", "noted", "attributes"),
        ("aardvark", "failed", "error"),
        ("RuntimeError", "failed", "error"),
        ("lemur", "happened", "event"),
        ("quokka", "happened", "event"),
        ("narwhal", "nested", "input"),
    ],
)
def test_a_word_is_found_wherever_it_was_recorded(places: Places, text: str, span: str, where: str) -> None:
    assert places(text) == [(span, where)]


def test_the_words_around_are_shown_with_it(library: Path) -> None:
    with Reader(str(library)) as reader:
        (hit,) = reader.search("marmot")
        assert "filler marmot" in hit.snippet
        assert hit.snippet.startswith("…")
        assert len(hit.snippet) < 150
        (hit,) = reader.search("façade")
        assert "façade" in hit.snippet


def test_a_text_that_nobody_wrote_is_not_found(places: Places) -> None:
    assert places("unwritten") == []


def test_a_message_that_is_sent_again_is_found_where_it_was_sent_first(places: Places) -> None:
    assert places("question 0 about") == [("call 0", "input")]
    assert places("question 3 about") == [("call 3", "input")]
    assert places("gibbons") == [(f"call {n}", "input") for n in range(4)]


def test_the_word_of_a_system_prompt_finds_the_run_that_first_had_it(places: Places) -> None:
    assert places("concierge") == [("call 0", "input")]


def test_a_run_that_sent_a_known_prompt_is_still_found_by_what_was_new_in_it(places: Places) -> None:
    assert places("dingo") == [("call again", "input")]


@pytest.mark.parametrize("text", ["返金", "できませんでした", "東京", "京都", "申し訳"])
def test_japanese_words_are_found_inside_a_sentence(places: Places, text: str) -> None:
    assert places(text) == [("japanese", "input")]


@pytest.mark.parametrize("text", ["退款", "客户", "无法退款"])
def test_chinese_words_are_found_inside_a_sentence(places: Places, text: str) -> None:
    assert places(text) == [("chinese", "output")]


def test_characters_that_do_not_stand_together_are_no_word(places: Places) -> None:
    assert places("款退") == []
    assert places("東都") == []


def test_a_korean_stem_is_found_under_its_ending(places: Places) -> None:
    assert places("환불") == [("korean", "output")]


@pytest.mark.parametrize("text", ["café", "cafe", "CAFE", "zurich", "ZÜRICH", "naive facade", "cafe\u0301"])
def test_case_and_accents_make_no_difference(places: Places, text: str) -> None:
    assert places(text) == [("accents", "input")]


@pytest.mark.parametrize("text", ["crème", "creme brulee", "BRÛLÉE"])
def test_accents_written_apart_are_the_same_accents(places: Places, text: str) -> None:
    assert places(text) == [("decomposed", "input")]


@pytest.mark.parametrize("text", ["quick brown", "brown fox jumps", "jumps over", "Fox, JUMPS"])
def test_words_that_stand_one_after_the_other_are_a_phrase(places: Places, text: str) -> None:
    assert places(text) == [("phrases", "input")]


@pytest.mark.parametrize("text", ["brown quick", "quick fox", "brown fo"])
def test_words_in_another_order_or_with_others_between_are_not_that_phrase(places: Places, text: str) -> None:
    assert places(text) == []


@pytest.mark.parametrize("text", ["believ", "unbeliev", "4711x", "refund_payment", "payment_to", "ERR-4711x"])
def test_a_part_of_a_word_is_found_where_nobody_wrote_it_as_a_word(places: Places, text: str) -> None:
    assert places(text) == [("identifiers", "input")]


def test_a_part_of_a_word_is_not_looked_for_where_it_is_a_word_itself(reader: Read) -> None:
    found = reader("with span('a', input='reload it'): pass\nwith span('b', input='load it'): pass").search("load")
    assert [hit.span.name for hit in found] == ["b"]


@pytest.mark.parametrize("text", ["", "   ", "!?", "—", "\ud800", "\0"])
def test_a_text_without_any_word_is_called_wrongly(library: Path, text: str) -> None:
    with Reader(str(library)) as reader, pytest.raises(UsageError, match="no word"):
        reader.search(text)


@given(st.text(max_size=20) | st.text(alphabet='"*^():{}-+ abNEAR'))
def test_whatever_is_looked_for_is_found_or_called_wrongly(library: Path, text: str) -> None:
    with Reader(str(library)) as reader:
        try:
            reader.search(text)
        except UsageError:
            return


def test_a_limit_keeps_the_newest_places(library: Path) -> None:
    with Reader(str(library)) as reader:
        assert [hit.span.name for hit in reader.search("gibbons", 2)] == ["call 0", "call 1"]
        assert [hit.span.name for hit in reader.search("half", 1)] == ["split"]


def test_what_was_recorded_since_the_last_search_is_found_by_the_next(record: Callable[[str], Path]) -> None:
    with Reader(str(record("with span('a', input='early bird'): pass"))) as reader:
        assert len(reader.search("bird")) == 1
        record("with span('b', input='another bird'): pass")
        assert [hit.span.name for hit in reader.search("bird")] == ["b", "a"]


@pytest.mark.parametrize("text", ["walrus", '"quick brown"', "退款", "東京", "believ", "lemur", "aardvark", "zebra"])
def test_a_free_word_of_a_filter_selects_the_runs_that_a_search_finds(library: Path, text: str) -> None:
    with Reader(str(library)) as reader:
        searched = {hit.trace.trace_id for hit in reader.search(text.strip('"'))}
        assert searched
        assert {trace.trace_id for trace in reader.traces(parse(text))} == searched
        assert {trace.trace_id for trace, _ in reader.find_spans(parse(text))} == searched


@pytest.mark.parametrize(
    "value",
    [
        '[{"role": "system", "content": LONG}, {"role": "user", "content": "alpaca"}]',
        '[LONG, "alpaca"]',
        '[LONG, ["alpaca"]]',
        '{"messages": [LONG, {"alpaca": 1}]}',
    ],
)
def test_a_short_message_is_found_beside_a_long_one(reader: Read, value: str) -> None:
    found = reader(f"LONG = 'filler ' * 100\nwith span('a', input={value}): pass")
    assert [hit.where for hit in found.search("alpaca")] == ["input"]


def test_two_phrases_may_stand_in_two_messages_of_one_call(library: Path) -> None:
    with Reader(str(library)) as reader:
        assert [t.name for t in reader.traces(parse('"question 0" "question 1"'))] == ["first talk"]
        assert reader.traces(parse('"half tapir sloth"')) == []

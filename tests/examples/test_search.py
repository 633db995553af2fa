"""Policy search of the support agent, over the files that ship with it."""

from pathlib import Path

import pytest

from examples.support_agent.search import PolicyIndex

KNOWLEDGE = Path(__file__).parents[2] / "examples" / "support_agent" / "knowledge"


@pytest.fixture(scope="module")
def index() -> PolicyIndex:
    return PolicyIndex(KNOWLEDGE)


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("item damaged on arrival, refund", "refunds.md#damaged-on-arrival"),
        ("carrier lost parcel", "shipping.md#lost-parcels"),
        ("kettle stopped working", "warranty.md#what-is-covered"),
        ("charged twice", "payments.md#charged-twice"),
    ],
)
def test_the_section_that_answers_comes_first(index: PolicyIndex, query: str, best: str) -> None:
    assert index.search(query, limit=3)[0]["id"] == best


def test_hits_are_ranked_and_limited(index: PolicyIndex) -> None:
    hits = index.search("refund parcel", limit=4)
    scores = [hit["score"] for hit in hits]
    assert len(hits) == 4
    assert scores == sorted(scores, reverse=True)
    assert all(hit["content"] for hit in hits)


def test_no_shared_word_no_hit(index: PolicyIndex) -> None:
    assert index.search("zeppelin", limit=3) == []
    assert index.search("", limit=3) == []

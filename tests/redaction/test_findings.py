"""Findings that overlap."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from agentops.redaction.findings import Finding, resolve, unite

_FINDINGS = st.lists(
    st.builds(
        lambda start, length, kind, score: Finding(start, start + length, kind, score),
        st.integers(0, 40), st.integers(1, 12), st.sampled_from("ABC"), st.sampled_from([0.5, 1.0]),
    ),
    max_size=12,
)  # fmt: skip


@given(_FINDINGS)
def test_of_findings_that_overlap_the_longest_is_kept_and_nothing_of_any_is_left(findings: list[Finding]) -> None:
    kept, united = resolve(findings), unite(findings)
    for some in (kept, united):
        assert all(one.end <= other.start for one, other in itertools.pairwise(some))
    assert not findings or max(one.end - one.start for one in kept) == max(one.end - one.start for one in findings)
    assert {n for one in united for n in range(one.start, one.end)} == {
        n for one in findings for n in range(one.start, one.end)
    }

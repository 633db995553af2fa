"""Journals: read back whole, torn anywhere, with holes, garbled, and from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentops.journal.format import UPDATE, Closed, Head, Rotated, Update, encode
from agentops.journal.names import journals
from agentops.journal.reading import read, writer_is_alive
from agentops.recorder.writer import ROTATE_BYTES, Journal, MappedJournal, Place


def place(folder: Path, full: list[Journal] | None = None) -> Place:
    return Place(str(folder), (7, 1_000), None, (full if full is not None else []).append)


def note(n: int, size: int = 20) -> bytes:
    return encode((UPDATE, n, b"t" * 16, {"text": "x" * size}))


def numbers(path: str | Path, dead: bool = True) -> list[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return [record.span_id for _, record in read(descriptor, 0, dead) if isinstance(record, Update)]
    finally:
        os.close(descriptor)


@pytest.fixture(params=[Journal, MappedJournal])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    made: Journal = request.param(place(tmp_path), 1)
    yield made
    made.abandon()


def test_what_was_appended_is_read_in_order(journal: Journal) -> None:
    for n in range(1, 500):
        journal.append(note(n))
    assert numbers(journal.path) == list(range(1, 500))


def test_a_record_larger_than_the_journals_step_fits(journal: Journal) -> None:
    journal.append(note(1, 5_000_000))
    journal.append(note(2))
    assert numbers(journal.path) == [1, 2]


def test_the_first_record_says_who_writes_and_the_last_how_it_ended(journal: Journal) -> None:
    journal.leave(final=False)
    journal.leave(final=True)
    descriptor = os.open(journal.path, os.O_RDONLY)
    records = [record for _, record in read(descriptor, 0)]
    os.close(descriptor)
    assert isinstance(records[0], Head)
    assert (records[0].process, records[0].sequence, records[0].pid) == (7, 1, os.getpid())
    assert isinstance(records[1], Rotated)
    assert isinstance(records[2], Closed)


def test_a_journal_is_alive_until_it_is_let_go(journal: Journal) -> None:
    descriptor = os.open(journal.path, os.O_RDONLY)
    assert writer_is_alive(descriptor)
    journal.abandon()
    assert not writer_is_alive(descriptor)
    os.close(descriptor)


def test_a_full_journal_says_so_once_it_is_full(tmp_path: Path) -> None:
    full: list[Journal] = []
    journal = MappedJournal(place(tmp_path, full), 1)
    while not full:
        journal.append(note(1, 100_000))
    assert full == [journal]
    assert journal.written > ROTATE_BYTES
    assert journals(str(tmp_path)) == [os.path.basename(journal.path)]


def test_torn_at_any_byte_all_whole_records_before_are_read(tmp_path: Path) -> None:
    journal = Journal(place(tmp_path), 1)
    ends = []
    for n in range(1, 6):
        journal.append(note(n))
        ends.append(journal.written)
    whole = Path(journal.path).read_bytes()
    for length in range(ends[1], len(whole) + 1):
        torn = tmp_path / "torn"
        torn.write_bytes(whole[:length])
        assert numbers(torn) == [n for n, end in enumerate(ends, 1) if end <= length], length


def test_a_hole_in_a_dead_journal_is_skipped_and_in_a_living_one_waited_for(tmp_path: Path) -> None:
    journal = Journal(place(tmp_path), 1)
    journal.append(note(1))
    start = journal.written
    journal.append(note(2, 3_000))
    end = journal.written
    journal.append(note(3))
    whole = bytearray(Path(journal.path).read_bytes())
    whole[start:end] = bytes(end - start)
    holed = tmp_path / "holed"
    holed.write_bytes(whole)
    assert numbers(holed) == [1, 3]
    assert numbers(holed, dead=False) == [1]


def test_a_garbled_record_costs_itself_alone(tmp_path: Path) -> None:
    journal = Journal(place(tmp_path), 1)
    ends = []
    for n in range(1, 4):
        journal.append(note(n, 500))
        ends.append(journal.written)
    whole = bytearray(Path(journal.path).read_bytes())
    for at in range(ends[0], ends[1], 7):
        garbled = bytearray(whole)
        garbled[at] ^= 0xFF
        path = tmp_path / "garbled"
        path.write_bytes(garbled)
        assert numbers(path) == [1, 3], at


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3_000), st.booleans())
def test_any_bytes_are_read_to_an_end_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bool
) -> None:
    from agentops.journal.format import MAGIC

    path = tmp_path_factory.mktemp("journal") / "any"
    path.write_bytes((MAGIC if magic else b"") + data)
    numbers(path)
    numbers(path, dead=False)

"""Journals from elsewhere: whatever they hold, they are read as far as it goes, and the next one is brought in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentops.journal.format import ABSENT, MAGIC, START
from agentops.store.reader import Reader
from tests.fuzz.journals import (
    CHANGES,
    PIECES,
    TRACE,
    WITNESS,
    changed,
    put,
    put_witness,
    sealed,
    whole,
)
from tests.fuzz.long import bounded, run_long
from tests.fuzz.looking import ask, peak_megabytes, use

REAL = """
import agentops.recorder.recorder as recorder
recorder.POLL_S = recorder.POLL_IDLE_S = 1e6
import os
from agentops import score, span
system = "You are a careful assistant. " * 10
messages = []
for n in range(4):
    with span(f"answer {n}", kind="agent", session="s", user="ada", tags=["prod"], metadata={"build": n}) as run:
        for step in range(3):
            messages.append({"role": "user", "content": f"needle {n} {step} " + "where is it " * 30})
            with span("chat", kind="llm", input={"system": system, "messages": messages}) as call:
                call.set_attribute("gen_ai.usage.input_tokens", 100 * n)
                call.set_attribute("gen_ai.request.model", "a-model")
                call.add_event("chunk", {"n": step, "text": "x" * 200})
                call.output = {"role": "assistant", "content": [{"type": "text", "text": "found " * 40}]}
            try:
                with span("pay", kind="tool", input={"amount": step}):
                    raise ValueError("card was declined")
            except ValueError:
                pass
        run.checkpoint()
    score("helpful", 0.5, trace=run)
span("still open", input="what").__enter__()
os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal that a program of ours left when it was killed."""
    folder = tmp_path_factory.mktemp("real")
    environment = {**os.environ, "AGENTOPS_STORE": str(folder / "traces.db")}
    subprocess.run([sys.executable, "-c", REAL], env=environment, timeout=60, check=False)
    (path,) = (folder / "traces.journal").iterdir()
    return path.read_bytes().rstrip(b"\0") + bytes(64)


@contextmanager
def new_store() -> Iterator[Path]:
    folder = tempfile.mkdtemp(prefix="fuzz-")
    before = os.environ.get("AGENTOPS_RAISE")
    os.environ["AGENTOPS_RAISE"] = "1"
    try:
        yield Path(folder) / "traces.db"
    finally:
        os.environ.pop("AGENTOPS_RAISE") if before is None else os.environ.update(AGENTOPS_RAISE=before)
        shutil.rmtree(folder)


def check(journals: list[bytes], commands: bool = True) -> None:
    """Bring `journals` in; the good one that comes after them is in, whole, and all can be read."""
    with new_store() as store:
        for sequence, data in enumerate(journals, 1):
            put(store, data, sequence=sequence)
        put_witness(store)
        with Reader(str(store)) as reader:
            witness = reader.trace(WITNESS.hex())
        assert (witness.name, witness.status, witness.spans) == ("witness", "ok", 1)
        left = [path.read_bytes() for path in store.with_name("traces.journal").iterdir()]
        assert not any(data.startswith(MAGIC) for data in left), "a journal was not brought in"
        assert ask(store) > 30
        if commands:
            assert use(store) > 10


def pieced(journals: list[list[bytes]]) -> None:
    check([whole() + b"".join(pieces) for pieces in journals])


HOSTILE = st.lists(PIECES, min_size=1, max_size=3)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(HOSTILE)
def test_whatever_stands_in_a_journal_is_read_as_far_as_it_goes(journals: list[list[bytes]]) -> None:
    pieced(journals)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(CHANGES, st.booleans())
def test_a_garbled_journal_is_read_as_far_as_it_goes(real: bytes, changes: Any, seal: bool) -> None:
    data = changed(real, changes)
    check([sealed(data) if seal else data])


#: As deep as the decoder reads it; what is around it in the store may be too deep for the encoder.
DEEPEST = range(800, 1_000)


def test_a_record_that_cannot_be_brought_in_keeps_no_other_out(caplog: pytest.LogCaptureFixture) -> None:
    deep = [
        (START, n, TRACE, 0, 5, f"deep {n}", 0, ABSENT, None, None, {"a": msgspec.Raw(b"\x91" * n + b"\xc0")})
        for n in DEEPEST
    ]
    good = [(START, n, TRACE, 0, 5, f"good {n}", 0) for n in range(1, 201)]
    with new_store() as store:
        put(store, whole(*(record for pair in zip(good, deep, strict=False) for record in pair)))
        put_witness(store)
        with Reader(str(store)) as reader:
            names = {span.name for trace in reader.traces() for span in reader.spans(trace)}
            losses = reader.losses()
        assert names >= {"witness", *(f"good {n}" for n in range(1, 201))}
        assert not list(store.with_name("traces.journal").iterdir())
        assert sum(loss.records for loss in losses) > 0, "nothing was too deep"
        assert "left out" in caplog.text


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is set as Linux counts it")
def test_journals_from_elsewhere_for_half_an_hour(real: bytes, record_property: Callable[[str, object], None]) -> None:
    def one(input: tuple[list[list[bytes]], list[Any], int]) -> None:
        journals, changes, how = input
        if how < 2:
            data = changed(real, changes)
            check([sealed(data) if how else data])
        elif how == 2:
            check([sealed(changed(whole() + b"".join(pieces), changes)) for pieces in journals])
        else:
            pieced(journals)

    with bounded():
        measured = run_long(one, st.tuples(HOSTILE, CHANGES, st.integers(0, 6)))
    for name, value in {**measured, "peak MB": peak_megabytes()}.items():
        record_property(name, value)

"""Programs that export are killed while their target is away, hangs or answers badly; then it has each span once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentops.store.outbox import states
from tests.exporters.sink import Reply, Sink

#: Tells the ids of spans that have ended, and goes on until it is killed.
PROGRAM = """
import sys, time
import agentops
import agentops.exporters.delivery as delivery
delivery._FIRST_RETRY_S = delivery._LAST_RETRY_S = 0.05      # hours pass quickly here
import agentops.recorder.exporting as exporting
exporting._DEAD_S = 0.2
agentops.init(export=sys.argv[1], quiet=True)
n = 0
while True:
    with agentops.span(f"n-{n}", kind="agent", input={"n": n, "text": f"{n} " * 100}) as outer:
        with agentops.span("step", kind="tool") as inner:
            inner.output = n
    print(inner.span_id, outer.span_id, flush=True)
    n += 1
    time.sleep(0.002)
"""

LAST = """
import sys
import agentops
agentops.init(export=sys.argv[1])
with agentops.span("last"):
    pass
assert agentops.shutdown(60)
"""

#: How a target may answer that takes nothing.
BAD: list[Callable[[], Reply]] = [
    lambda: (503, {"Retry-After": "0"}, b""),
    lambda: (429, {}, b""),
    lambda: (500, {"Content-Type": "text/html"}, b"<h1>Oops</h1>"),
    lambda: (200, {"Content-Type": "text/html"}, b"<h1>Sign in</h1>"),
    lambda: None,
    lambda: 0.3,
]


class Outage:
    """Programs one after the other, each killed at a random moment, and a target that mostly behaves badly."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._store = folder / "traces.db"
        self._random = random.Random(seed)
        self._sink = Sink()
        self._sink.reply = self._reply
        self.bad = True
        self.told: list[str] = []

    def _reply(self, spans: list[object]) -> Reply | bool:
        return self._random.choice(BAD)() if self.bad else True

    def _start(self, program: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program, self._sink.url],
            env={**os.environ, "AGENTOPS_STORE": str(self._store), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill_one(self, well_again: float) -> None:
        """Let a program run in an outage and kill it; with a chance of `well_again` the outage ends before."""
        process = self._start(PROGRAM, OTEL_EXPORTER_OTLP_TIMEOUT="0.2")
        assert process.stdout is not None and process.stderr is not None
        self.told += process.stdout.readline().split()
        for _ in range(self._random.randrange(1, 4)):
            if self._random.random() < 0.4:
                self._sink.away()
            time.sleep(self._random.random() * 0.4)
            self._sink.back()
        if self._random.random() < well_again:
            self.bad = False
            time.sleep(self._random.random())
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:
            if line.endswith("\n"):  # else it was killed while it told
                self.told += line.split()
        process.wait()
        process.stdout.close()
        process.stderr.close()
        self.bad = True

    def recover(self) -> None:
        """The target is well again, and another program records something."""
        self.bad = False
        process = self._start(LAST)
        _, said = process.communicate(timeout=100)
        assert process.returncode == 0 and said == "", said

    def check(self) -> tuple[int, int]:
        """How many spans arrived, and how often one came again."""
        self._sink.close()
        (state,) = states(str(self._store))
        ids = self._sink.ids
        assert (state.waiting, state.refused) == (0, 0)
        assert set(self.told) <= set(ids), "a span did not arrive"
        again = sum(count - 1 for count in ids.values())
        assert again <= state.again, "a span came again, and nobody counted it"
        return len(ids), again


def outage(folder: Path, seed: int, kills: int, well_again: float = 0.0) -> tuple[int, int, int]:
    """Spans that had ended, that arrived, and that came again."""
    one = Outage(folder, seed)
    for n in range(kills):
        one.kill_one(well_again)
        if n % 7 == 6:
            one.recover()
    one.recover()
    return len(one.told), *one.check()


def test_programs_that_are_killed_in_an_outage_lose_and_double_nothing(tmp_path: Path) -> None:
    told, arrived, again = outage(tmp_path, seed=7, kills=3)
    assert told and arrived >= told and again == 0


@pytest.mark.proof
def test_twenty_kills_in_an_outage_lose_and_double_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    told, arrived, again = outage(tmp_path, seed=20, kills=20)
    record_property("programs killed in an outage", 20)
    record_property("spans that had ended before", told)
    record_property("spans that arrived", arrived)
    record_property("of them again", again)
    assert told and arrived >= told and again == 0


@pytest.mark.proof
def test_kills_while_the_target_takes_spans_lose_nothing_and_what_comes_again_is_counted(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    told, arrived, again = outage(tmp_path, seed=21, kills=20, well_again=1.0)
    record_property("programs killed while spans were taken", 20)
    record_property("spans that had ended before", told)
    record_property("spans that arrived", arrived)
    record_property("of them again", again)
    assert told and arrived >= told

"""Running a property again and again, with new seeds, for as long as is given."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

MINUTES = float(os.environ.get("AGENTOPS_FUZZ_MINUTES", "30"))
SEED = int(os.environ.get("AGENTOPS_FUZZ_SEED", "20261125"))
#: A round of a property has this many inputs and one seed.
ROUND = 100
#: What one input may take of the processor's time; twenty commands read each.
INPUT_S = 100
#: Room for what a reader may take of memory beyond what the tests have.
ROOM_BYTES = 3 << 30


@contextmanager
def bounded(room: int = ROOM_BYTES) -> Iterator[None]:
    """Memory beyond `room` is an error inside."""
    with open("/proc/self/statm") as file:
        have = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (have + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def run_long(
    check: Callable[[Any], Any], inputs_of: SearchStrategy[Any], minutes: float = MINUTES
) -> dict[str, object]:
    """Give `check` inputs until time is over; what was measured, for the table of proofs."""
    end = time.monotonic() + minutes * 60
    inputs = 0

    def counted(input: Any) -> None:
        nonlocal inputs
        inputs += 1
        signal.setitimer(signal.ITIMER_PROF, INPUT_S)
        check(input)

    # An input that takes for ever says where, and ends all this: pytest would keep to itself what stands in `stderr`.
    where = Path(tempfile.gettempdir()) / f"agentops-fuzz-{os.getpid()}.txt"
    with where.open("w") as file:
        faulthandler.register(signal.SIGPROF, file, chain=True)
        try:
            seeds = _rounds(counted, inputs_of, end)
            return {"inputs": inputs, "seeds": seeds, "failures": 0}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.unregister(signal.SIGPROF)
            where.unlink()


def _rounds(check: Callable[[Any], Any], inputs_of: SearchStrategy[Any], end: float) -> str:
    rounds = 0
    while time.monotonic() < end:
        number = SEED + rounds
        one = given(inputs_of)(check)
        one = settings(
            max_examples=ROUND,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(seed(number)(one))
        try:
            one()
        except BaseException:
            print(f"seed {number}")
            raise
        rounds += 1
    return f"{SEED} to {SEED + rounds - 1}"

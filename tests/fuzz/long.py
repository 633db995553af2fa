"""Running a property again and again, with new seeds, for as long as is given."""

from __future__ import annotations

import faulthandler
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

MINUTES = float(os.environ.get("AGENTOPS_FUZZ_MINUTES", "30"))
SEED = int(os.environ.get("AGENTOPS_FUZZ_SEED", "20261125"))
#: A round of a property has this many inputs and one seed.
ROUND = 250
#: What one input may take; twenty commands read each.
INPUT_S = 60
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
    inputs = rounds = 0

    def counted(input: Any) -> None:
        nonlocal inputs
        inputs += 1
        faulthandler.dump_traceback_later(INPUT_S, exit=True)  # an input that takes for ever says where
        try:
            check(input)
        finally:
            faulthandler.cancel_dump_traceback_later()

    while time.monotonic() < end:
        number = SEED + rounds
        one = given(inputs_of)(counted)
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
    return {"inputs": inputs, "seeds": f"{SEED} to {SEED + rounds - 1}", "failures": 0}

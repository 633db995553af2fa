"""A program that records without end and notes what has returned to it: `storm_writer.py LOG SEED WAY`.

A note is a line that one `write` appends to LOG after the call has returned: what returned, the span's id, and facts.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import threading
import time
from typing import Any

from opentelemetry.trace import StatusCode

import agentops
from agentops import span

LOG, SEED, WAY = sys.argv[1:]
out = os.open(LOG, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
#: How many threads record, and how many characters a text has at most.
THREADS = {"threads": 4, "large": 1, "flush": 2, "shutdown": 2, "plain": 3}[WAY]
LETTERS = {"large": 400_000, "plain": 20_000}.get(WAY, 1_000)

if WAY == "plain":  # a `write` a record, as on a file system whose pages cannot be written again in place
    import agentops.recorder.writer

    agentops.recorder.writer._MAPPABLE = frozenset()


def note(what: str, s: Any = None, *facts: object) -> None:
    os.write(out, f"{what} {'-' if s is None else s.span_id} {json.dumps(facts)}\n".encode())


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def text(chance: random.Random) -> str:
    return chance.randbytes(chance.randrange(1, LETTERS // 2)).hex() + "é\u2028\U0001f9ea"


def step(chance: random.Random, n: int) -> None:
    given, result = {"n": n, "text": text(chance)}, chance.choice([text(chance), [n, {"is": text(chance)}], n])
    failed = chance.random() < 0.2
    with span("step", kind="tool", input=given) as s:
        note("start", s, digest(given))
        if n % 3 == 0:
            s.add_event("looked", {"n": n})
            note("event", s, n)
            s.set_attribute("app.checked", n)
            s.checkpoint()
            note("attribute", s, "app.checked", n)
            s.set_attribute("app.rode", n)
            with span("inside") as inside:
                note("start", inside, None)
                note("attribute", s, "app.rode", n)
            note("end", inside, None, "ok", None)
        s.output = result
        if isinstance(result, list) and len(result[1]["is"]) > 200:  # large, and not a text: written when it is set
            note("output", s, digest(result))
        if failed:
            s.set_status(StatusCode.ERROR)
        at = time.time_ns() + n
        s.end(at)
        note("end", s, at, "error" if failed else "ok", digest(result))


def work(thread: int) -> None:
    chance = random.Random(f"{SEED}-{thread}")
    n = 0
    while True:
        with span(f"run {thread}", kind="agent", input=f"{n}") as run:
            note("start", run, digest(f"{n}"))
            for _ in range(chance.randrange(1, 12)):
                step(chance, n)
                n += 1
            run.output = n
        note("end", run, None, "ok", digest(n))


def again_and_again(what: str) -> None:
    while True:
        time.sleep(0.01)
        note(f"{what}+")
        getattr(agentops, what)()
        note(f"{what}-")


for number in range(1, THREADS):
    threading.Thread(target=work, args=(number,), daemon=True).start()
if WAY in ("flush", "shutdown"):
    threading.Thread(target=again_and_again, args=(WAY,), daemon=True).start()
work(0)

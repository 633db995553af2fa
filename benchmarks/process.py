"""What tracing adds to a program as a whole: its start, its end, its memory."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator

from benchmarks import _fresh, _stores
from benchmarks._rows import Row, middle, ratios

STARTS, EXITS, MEMORY = 25, 12, 3
SPANS_STORED = 1_000_000
HEAVY = (
    "sqlmodel", "sqlalchemy", "presidio_analyzer", "spacy", "textual", "anthropic", "pydantic", "opentelemetry.sdk",
    "uvicorn", "starlette", "genai_prices",
)  # fmt: skip
_START = {
    "bare": "pass",
    "api": "import opentelemetry.trace, opentelemetry.context",
    "ours": "import agentops",
    "span": "from agentops import span\nwith span('first', kind='tool', input='x'): pass",
}
_EXIT = """
import os, time
from agentops import span
text = os.urandom(500).hex()
for n in range(10):
    with span("agent", kind="agent"):
        for i in range(9):
            with span("llm", kind="llm", input=f"{n} {i} {text}"): pass
print(time.monotonic())
"""
#: VmHWM, not ru_maxrss: the latter begins with what the process had been before it became this program.
_RSS = """
def rss(*names):
    with open("/proc/self/status") as file:
        found = dict(line.split(":") for line in file)
    return [int(found[name].split()[0]) / 1024 for name in names]
"""
_MEMORY = (
    _RSS
    + """
import random
words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(3, 10))) for _ in range(6000)]
import agentops
from agentops import span
for n in range(100_000 // 11):
    with span("agent", kind="agent"):
        for i in range(10):
            with span("llm", kind="llm", input=" ".join(random.choices(words, k=134))) as s:
                s.set_attribute("gen_ai.usage.input_tokens", 250)
                s.set_attribute("gen_ai.usage.output_tokens", 40)
after = rss("VmHWM", "RssAnon", "RssFile")
agentops.flush()
flushed = rss("VmHWM", "RssAnon", "RssFile")
agentops.shutdown()
print(*after, *flushed, *rss("VmHWM", "RssAnon", "RssFile"))
"""
)


def _python(code: str, store: str | None = None) -> _fresh.Used:
    return _fresh.whole([sys.executable, "-c", code], store)


def rows() -> Iterator[Row]:
    yield from _starts()
    yield from _memory()
    yield from _exits()


def _starts() -> Iterator[Row]:
    """Processor time, and the processes end without cleaning up: exit is another figure."""
    found: dict[str, list[float]] = {name: [] for name in _START}
    for n in range(STARTS + 1):
        for name, code in _START.items():
            with _fresh.temporary_store() as store:
                used = _python(code + "\nimport os; os._exit(0)", store)
            if n:  # the first round writes bytecode and warms the page cache
                found[name].append(used.cpu * 1e3)
    above = {name: [a - b for a, b in zip(values, found["bare"], strict=True)] for name, values in found.items()}
    value, spread = middle(ratios(above["ours"], above["api"]))
    best = {name: min(values) - min(found["bare"]) for name, values in found.items()}
    note = (
        f"{middle(above['ours'])[0]:.0f} against {middle(above['api'])[0]:.0f} ms above the bare interpreter, "
        f"processor time, {STARTS} rounds; of the fastest {best['ours']:.0f} against {best['api']:.0f}"
    )
    yield Row("`import agentops`", value, "importing the OpenTelemetry API", note, spread, 1.5)
    value, spread = middle([a - b for a, b in zip(found["span"], found["ours"], strict=True)])
    note = f"processor time, new store; of the fastest {best['span'] - best['ours']:.0f} ms"
    yield Row("first span of a process, cold", value, "above `import agentops`", note, spread, 50, unit=" ms")
    heavy = _python(f"import agentops, sys; print(*[m for m in {HEAVY!r} if m in sys.modules])").output.split()
    yield Row("heavy modules loaded by `import agentops`", len(heavy), f"of {len(HEAVY)}", " ".join(heavy), None, 0)


def _memory() -> Iterator[Row]:
    bare = [float(_python(_RSS + "print(*rss('VmHWM'))").output) for _ in range(5)]
    floor = middle(bare)[0]
    found = []
    for _ in range(MEMORY):
        with _fresh.temporary_store() as store:
            found.append([float(number) for number in _python(_MEMORY, store).output.split()])
    for at, when in enumerate(("spans", "spans and `flush()`", "spans and `shutdown()`")):
        value, spread = middle([run[3 * at] - floor for run in found])
        anon, file = (middle([run[3 * at + n] for run in found])[0] for n in (1, 2))
        note = (
            f"peak {value + floor:.1f} MB (VmHWM, with mapped files: libraries and the journal), bare {floor:.1f}; "
            f"at that moment {anon:.1f} anonymous, {file:.1f} of files"
        )
        name = f"memory after 100,000 {when}"
        yield Row(name, value, "above the bare interpreter's peak", note, spread, 30, unit=" MB")


def _exits() -> Iterator[Row]:
    """On a copy of a large store, and on a store that is there and empty."""
    large = _stores.cached(SPANS_STORED)
    found: list[tuple[tuple[float, float], tuple[float, float]]] = []
    with _fresh.temporary_store() as big, _fresh.temporary_store() as empty:
        shutil.copyfile(large, big)
        for n in range(EXITS + 1):
            for name in os.listdir(os.path.dirname(empty)):
                path = os.path.join(os.path.dirname(empty), name)
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            _fresh.call(_stores.build, empty, 0)
            pair = []
            for store in (big, empty):
                used = _python(_EXIT, store)
                pair.append((used.wall, used.ended - float(used.output)))
            if n:
                found.append((pair[0], pair[1]))
    for which, name in enumerate(("100 spans and exit, whole process", "exit after 100 spans, from the last line on")):
        us, them = ([pair[side][which] for pair in found] for side in (0, 1))
        value, spread = middle(ratios(us, them))
        note = f"{middle(us)[0] * 1e3:.0f} against {middle(them)[0] * 1e3:.0f} ms, wall time, {EXITS} pairs"
        against = "the same on an empty store"
        yield Row(f"{name}, store of {SPANS_STORED:,} spans", value, against, note, spread, 1.5)

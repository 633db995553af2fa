"""Large stores, made by SQL as ingest and packing would have made them, a million spans in a minute or two."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from benchmarks import _fresh
from benchmarks._texts import Texts

__all__ = [
    "LARGE_TRACE", "LARGE_TRACE_SPANS", "RARE", "USERS", "build", "cached", "delete", "span_id", "trace_id",
]  # fmt: skip

#: A word that stands in one content of one trace.
RARE = "quetzalcoatlus"
#: Number of the trace that has many spans; it is the oldest, so that lists of the latest do not show it.
LARGE_TRACE, LARGE_TRACE_SPANS = 0, 10_000
#: Each user has as many of the runs as every other.
USERS = 100
_SPANS = 11
_TRACES_A_BATCH = 360  # what ingest takes in one transaction
_START_NS = 1_790_000_000 * 10**9
_folder: str | None = None


def trace_id(trace: int) -> bytes:
    return (0x9E3779B97F4A7C15F39CC0605CEDC835 * (trace + 1) % 2**128).to_bytes(16, "big")


def span_id(trace: int, span: int) -> int:
    """As SQLite holds it, signed; spread like random ids."""
    return (0x9E3779B97F4A7C15 * (trace * 100_003 + span + 1)) % 2**64 - 2**63


def cached(spans: int) -> str:
    """Path of a store of so many spans, for reading; it stays until `delete`."""
    global _folder
    if _folder is None:
        _folder = tempfile.mkdtemp(prefix="agentops-bench-stores-")
    path = os.path.join(_folder, f"{spans}", "traces.db")
    if not os.path.exists(path):
        os.mkdir(os.path.dirname(path))
        print(f"  building a store of {spans:,} spans", flush=True)
        _fresh.call(build, path, spans)
    return path


def delete() -> None:
    """Delete the stores of `cached`."""
    global _folder
    if _folder is not None:
        shutil.rmtree(_folder)
        _folder = None


def build(path: str, spans: int) -> dict[str, int]:
    """A store of traces of 1 agent and 10 llm spans with 1 kB of input each; with 100,000 spans or more also
    one trace of 10,000, and `RARE` in one trace in the middle.

    Returns:
        How many rows the tables have.
    """
    from agentops.store.packing import reclaim
    from agentops.store.schema import connect

    connection = connect(path, create=True)
    builder = _Builder(connection)
    traces = [(number, _SPANS) for number in range(1, spans // _SPANS + 1)]
    if spans >= 100_000:
        traces.insert(0, (LARGE_TRACE, LARGE_TRACE_SPANS))
    for first in range(0, len(traces), _TRACES_A_BATCH):
        builder.batch(traces[first : first + _TRACES_A_BATCH], rare=spans // _SPANS // 2)
    builder.finish()
    reclaim(connection)
    tables = ("traces", "spans", "contents", "blocks", "fresh", "uses", "names")
    counts = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    connection.close()
    return counts


class _Builder:
    def __init__(self, connection: Any) -> None:
        from agentops import conventions
        from agentops.journal.format import encode

        self._connection = connection
        self._texts = Texts(11)
        self._encode = encode
        self._agent, self._llm = conventions.KIND_NUMBER["agent"], conventions.KIND_NUMBER["llm"]
        self._input, self._output = conventions.INPUT_TOKENS, conventions.OUTPUT_TOKENS
        self._model = conventions.REQUEST_MODEL
        self._names: dict[str, int] = {}
        self._content = 0
        self._waiting: list[tuple[int, int, bytes]] = []
        self._waiting_bytes = 0

    def _name(self, text: str) -> int:
        return self._names.setdefault(text, len(self._names) + 1)

    def batch(self, traces: list[tuple[int, int]], rare: int) -> None:
        """One transaction of so many traces, each a number and how many spans it has."""
        from agentops.journal.format import BLOB, OK
        from agentops.store.arrivals import key_of
        from agentops.store.words import add

        self._connection.execute("BEGIN IMMEDIATE")
        trace_rows: list[tuple[Any, ...]] = []
        span_rows: list[tuple[Any, ...]] = []
        keys: list[tuple[int, int]] = []
        uses: list[tuple[int, int]] = []
        documents: list[tuple[int, list[str]]] = []
        for trace, spans in traces:
            number = trace + 1  # SQLite would count from 1 too
            start = _START_NS + trace * 10**10
            root, name, model = span_id(trace, 0), f"agent {trace % 7}", f"model-{trace % 3}"
            end = start + spans * 10**8
            span_rows.append(
                (number, root, None, self._name(name), self._agent, OK, start, end, *[None] * 8)
            )  # fmt: skip
            for n in range(1, spans):
                self._content += 1
                text = self._texts.quick()
                if trace == rare and n == 5:
                    text = f"{text} {RARE}"
                data = self._encode(text)
                self._keep(self._content, BLOB, data)
                keys.append((key_of(BLOB, data), self._content))
                uses.append((self._content, number))
                documents.append((self._content, [text]))
                body = self._encode({"a": {self._input: 250, self._output: 40, self._model: model}})
                begun = start + n * 10**8
                span_rows.append(
                    (
                        number, span_id(trace, n), root, self._name("llm"), self._llm, OK, begun, begun + 9 * 10**7,
                        self._content, None, self._name(model), 250, 40, None, None, body,
                    )
                )  # fmt: skip
            calls = spans - 1
            trace_rows.append(
                (
                    number, trace_id(trace), root, name, self._agent, OK, start, end, spans, 0, 0, calls, 250 * calls,
                    40 * calls, None, None, f"user {trace % USERS}", None, None, calls,
                )
            )  # fmt: skip
        for trace, _ in traces:  # names and small values: a document a trace, after the batch's contents
            self._content += 1
            uses.append((self._content, trace + 1))
            documents.append((self._content, [f"agent {trace % 7}", "llm", f"model-{trace % 3}"]))
        many = self._connection.executemany
        many(f"INSERT INTO traces VALUES ({', '.join('?' * 20)})", trace_rows)
        many(f"INSERT INTO spans VALUES ({', '.join('?' * 16)})", span_rows)
        many("INSERT INTO contents VALUES (?, ?)", sorted(keys))
        many("INSERT INTO uses VALUES (?, ?)", uses)
        add(self._connection, documents)
        self._connection.execute("COMMIT")

    def _keep(self, number: int, form: int, data: bytes) -> None:
        from agentops.store.contents import BLOCK_BYTES

        self._waiting.append((number, form, data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= BLOCK_BYTES:
            self._block()

    def _block(self) -> None:
        from agentops.store.contents import pack

        items, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (items[0][0], items[-1][0], pack(items)))

    def finish(self) -> None:
        """What was kept for the end: the last block, names, the next content's number."""
        self._connection.execute("BEGIN IMMEDIATE")
        if self._waiting:
            self._block()
        self._connection.executemany("INSERT INTO names VALUES (?, ?)", [(n, text) for text, n in self._names.items()])
        self._connection.execute("UPDATE meta SET value = ? WHERE name = 'content'", (self._content,))
        self._connection.execute("COMMIT")

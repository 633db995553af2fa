"""Sending spans to an OTLP receiver: how quickly a backlog goes, and what the caller notices of it.

The receiver is a process that reads and answers. The bare exporter is given the same spans, made beforehand, in batches
of as many. The caller's traces are those of `busy.py`, with a pause of 5 ms after each; ingest goes on as it does.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator

from benchmarks import _fresh, _stores
from benchmarks._rows import Row, middle, ratios
from benchmarks._shapes import our_traces
from benchmarks._sink import sink

BACKLOG, ROUNDS = 100_000, 3
BARE_SPANS, BATCH = 20_480, 512
PROCESSES, TRACES, TURNS, PAUSE_S = 4, 120, 4, 0.005


def fill(store: str, url: str, spans: int) -> int:
    """Let all spans of a store wait for `url`; how many there are."""
    from agentops.exporters.target import Target
    from agentops.store.destinations import export_from
    from agentops.store.schema import connect

    connection = connect(store, create=True)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM outbox")
    export_from(connection, "bench", [(Target(url).known_as, "")])
    connection.execute(
        "INSERT INTO outbox (target, trace, span_id, under_way) SELECT (SELECT id FROM targets WHERE name = ?), trace, "
        "span_id, 0 FROM spans LIMIT ?",
        (Target(url).known_as, spans),
    )
    (count,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
    connection.execute("COMMIT")
    connection.close()
    return int(count)


def drain(store: str, url: str) -> tuple[float, float, int]:
    """Send all that waits: seconds, the process's peak in MB, and how many spans."""
    import agentops.exporters.otel
    import agentops.exporters.otlp  # noqa: F401 - the bare exporter is imported before it is timed
    from agentops.exporters.delivery import Delivery
    from agentops.exporters.target import Target

    delivery = Delivery(store, Target(url))
    start = time.perf_counter()
    if not delivery.run(lambda: BATCH):
        raise RuntimeError(str(delivery.trouble))
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, delivery.sent


def bare(store: str, url: str, spans: int) -> float:
    """Spans a second of the exporter alone, with spans of that store."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource

    from agentops.exporters.otel import readable
    from agentops.exporters.otlp import resource as what_it_is
    from agentops.store.reader import Reader

    made = []
    own = Resource(dict(what_it_is().attributes))  # as the SDK has it
    with Reader(store) as reader:
        for trace in reader.iter_traces():
            made += [readable(detail, resource=own) for detail in reader.details(trace)]
            if len(made) >= spans:
                break
    exporter = OTLPSpanExporter(f"{url}/v1/traces")
    exporter.export(made[:1])
    start = time.perf_counter()
    for first in range(0, len(made), BATCH):
        exporter.export(made[first : first + BATCH])
    return len(made) / (time.perf_counter() - start)


def caller(url: str, traces: int, turns: int) -> dict[str, list[float]]:
    """Seconds of wall time that traces take, in turns, with export and without."""
    import agentops

    found: dict[str, list[float]] = {"on": [], "off": []}
    for turn in range(2 * turns):
        on = turn % 2 == 0
        agentops.init(export=url if on else "off", quiet=True)
        for n in range(traces):
            start = time.perf_counter()
            our_traces(1)
            took = time.perf_counter() - start
            if n >= traces // 10:  # the first of a journal make it
                found["on" if on else "off"].append(took)
            time.sleep(PAUSE_S)
        time.sleep(0.5)
    agentops.shutdown()
    return found


def rows() -> Iterator[Row]:
    store = _stores.cached(BACKLOG)
    with sink() as url:
        ours, theirs, peaks = [], [], []
        for _ in range(ROUNDS):
            before = _fresh.call(bare, store, url, BARE_SPANS, store=store)
            fill(store, url, BACKLOG)
            took, peak, count = _fresh.call(drain, store, url, store=store)
            after = _fresh.call(bare, store, url, BARE_SPANS, store=store)  # the machine has neighbours
            theirs.append((before + after) / 2)
            ours.append(count / took)
            peaks.append(peak)
        value, spread = middle(ratios(ours, theirs))
        note = f"{statistics.median(ours):,.0f} against {statistics.median(theirs):,.0f} spans/s, wall time; "
        note += f"{BACKLOG:,} spans of 1 kB from the store, {ROUNDS} rounds"
        against = "the exporter alone, with spans made before"
        yield Row("a backlog drains", value, against, note, spread, 0.5, at_least=True)
        value, spread = middle(peaks)
        note = "with Python, the SDK, requests and protobuf"
        yield Row("memory while it drains", value, "peak of the process", note, spread, 100.0, unit=" MB")
        runs = [_fresh.call(caller, url, TRACES, TURNS) for _ in range(PROCESSES)]
    on, off = ([statistics.median(run[which]) for run in runs] for which in ("on", "off"))
    value, spread = middle(ratios(on, off))
    halves = [statistics.median(run["off"][0::2]) / statistics.median(run["off"][1::2]) for run in runs]
    note = f"{statistics.median(on) * 1e6:.0f} against {statistics.median(off) * 1e6:.0f} µs, wall time, medians of "
    note += f"{PROCESSES} processes; off against off {min(halves):.2f}-{max(halves):.2f}"
    yield Row("caller's trace while spans are exported: median", value, "the same without export", note, spread, 1.05)

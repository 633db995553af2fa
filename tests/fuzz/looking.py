"""All that a user can ask of a store, asked; whatever comes that is no error of ours is raised."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agentops.cli.main import main
from agentops.errors import AgentopsError
from agentops.exporters.jsonl import lines
from agentops.inert import block
from agentops.store.filters import parse
from agentops.store.reader import Reader
from agentops.store.tree import tree

FILTERS = [
    "",
    "status:error",
    "-kind:llm errors>0",
    "model:a cost>0",
    "took>1s tokens<5",
    "session:s",
    "tag:prod",
    "score:helpful<1",
    "needle",
    '"needle in" -name:pay',
    "since:2000-01-01",
]
COMMANDS = [
    ["ls"],
    ["ls", "--json"],
    ["ls", "--spans"],
    ["ls", "--spans", "--json", "needle"],
    ["ls", "--alike", "latest"],
    ["show", "latest"],
    ["show", "latest", "--json", "--content"],
    ["show", "latest", "--content"],
    ["show", "latest", "--content", "--plain"],
    ["show", "latest", "--content", "--md"],
    ["search", "needle"],
    ["search", "needle", "--json"],
    ["stats", "--by", "model"],
    ["stats", "--by", "name", "--json"],
    ["stats", "--by", "day"],
    ["stats", "--json", "needle"],
    ["why"],
    ["why", "--json"],
    ["cache-audit"],
    ["cache-audit", "--json"],
    ["export"],
    ["doctor"],
    ["doctor", "--json"],
    ["audit", "--canary", "needle", "--redact", "secrets"],
    ["audit", "--fix", "--yes", "--json", "--redact", "secrets"],
]


def _questions(reader: Reader) -> Iterator[Callable[[], Any]]:
    yield reader.count
    yield lambda: reader.tally(0)
    for line in FILTERS:
        yield lambda line=line: reader.traces(parse(line))
        yield lambda line=line: reader.find_spans(parse(line))
        for by in ("model", "name", "day"):
            yield lambda line=line, by=by: reader.stats(parse(line), by)
    yield lambda: reader.search("needle")
    yield lambda: reader.changes()
    yield lambda: reader.failures("error", 2, "")
    yield lambda: [json.loads(line) for line in lines(reader, reader.iter_traces())]
    for trace in reader.traces():
        yield lambda trace=trace: (trace.status, trace.kind, trace.tags, trace.tokens, trace.duration_ns)
        yield lambda trace=trace: reader.scores(trace)
        yield lambda trace=trace: reader.event_names(trace)
        yield lambda trace=trace: reader.root(trace)
        yield lambda trace=trace: tree(reader.spans(trace))
        yield lambda trace=trace: _flow(reader, trace)
        for span in reader.spans(trace)[:5]:
            yield lambda trace=trace, span=span: reader.span(trace, span.hex_id)
            yield lambda trace=trace, span=span: reader.path_names(trace.no, span.span_id)
            yield lambda trace=trace, span=span: reader.known_span(trace.trace_id, span.hex_id)


def _flow(reader: Reader, trace: Any) -> None:
    _, exchanges = reader.flow(trace)
    for exchange in exchanges.values():
        reader.attributes(exchange)
        keys = [key for key in (exchange.input, exchange.output) if key is not None]
        reader.raws(keys)
        for key in keys:
            reader.value(key)


def ask(store: Path | str) -> int:
    """Ask the reader everything; how many questions it answered."""
    answered = 0
    with contextlib.suppress(AgentopsError):
        with Reader(str(store)) as reader:
            for question in _questions(reader):
                with contextlib.suppress(AgentopsError):
                    question()
                    answered += 1
    return answered


def command(words: list[str], store: Path | str) -> tuple[int, str, str]:
    """Call a command in this process: its code and what it printed. What it did not expect is raised."""
    out, err = io.StringIO(), io.StringIO()
    before = {name: os.environ.get(name) for name in ("AGENTOPS_STORE", "AGENTOPS_RAISE")}
    os.environ.update(AGENTOPS_STORE=str(store), AGENTOPS_RAISE="1")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    return code, out.getvalue(), err.getvalue()


def use(store: Path | str) -> int:
    """Give every reading command; how many went well. What they print must do nothing to a terminal."""
    went_well = 0
    for words in COMMANDS:
        code, out, err = command(words, store)
        assert code in (0, 1, 2, 3, 4), (words, code)
        if "--json" in words or words == ["export"]:
            assert out.isascii(), words
            for line in out.splitlines():
                json.loads(line)
        else:
            assert block(out) == out, words
        assert block(err) == err, words
        assert "mistake in agentops" not in err
        went_well += code == 0
    return went_well


def peak_megabytes() -> int:
    """The most memory that this process has had."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)

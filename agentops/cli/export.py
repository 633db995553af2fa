"""`agentops export`."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from agentops.cli.reading import opened
from agentops.errors import AgentopsError, UsageError
from agentops.exporters.jsonl import lines
from agentops.store.filters import KEYS, parse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from agentops.cli.output import Output
    from agentops.exporters.target import Target
    from agentops.store.outbox import State

HELP = """Write traces out, lossless: one span a line as JSON (`agentops schema export` says how). Or send them to a
receiver that takes OpenTelemetry's protocol, as protobuf over HTTP; OTEL_EXPORTER_OTLP_HEADERS and the like hold.

  agentops export --to jsonl status:error since:1h -o failed.jsonl
  agentops export --to otlp http://localhost:4318 since:1d
  agentops export --to otlp http://localhost:4318 --waiting      what a program's own export could not send
  agentops export --to otlp http://localhost:4318 --discard      give that up: it stays in the store, and is not sent"""


def arguments(parser: argparse.ArgumentParser) -> None:
    words = "words of a filter, see `agentops --help`; whole traces are written. With --to otlp a URL comes first"
    parser.add_argument("filter", nargs="*", help=words)
    parser.add_argument("--to", choices=["jsonl", "otlp"], default="jsonl", help="the format (jsonl)")
    parser.add_argument("-o", "--output", metavar="FILE", help="a file instead of standard output")
    parser.add_argument("-H", "--header", metavar="NAME=VALUE", action="append", help="for otlp: sent with requests")
    parser.add_argument("--dialect", choices=["both", "genai", "openinference"], help="for otlp: names of attributes")
    parser.add_argument("--waiting", action="store_true", help="for otlp: only what waits for that URL")
    parser.add_argument("--discard", action="store_true", help="for otlp: give up what waits for that URL, or name")
    parser.add_argument("--yes", action="store_true", help="for --discard: do not ask")


def run(given: argparse.Namespace, out: Output) -> int:
    if given.to == "otlp":
        return _send(given, out)
    for option in ("header", "dialect", "waiting", "discard"):
        if getattr(given, option):
            raise UsageError(f"--{option} is for --to otlp")
    filter = parse(given.filter)
    with opened() as reader:
        if given.output is None:
            for text in lines(reader, reader.iter_traces(filter)):
                sys.stdout.write(text + "\n")
            return 0
        count = _write(given.output, lines(reader, reader.iter_traces(filter)))
    if out.json:
        out.object({"file": given.output, "spans": count})
    else:
        print(f"agentops: {count} span{'s' * (count != 1)} in {given.output}", file=sys.stderr)
    return 0


def _send(given: argparse.Namespace, out: Output) -> int:
    if given.output is not None:
        raise UsageError("--output is for --to jsonl")
    words = list(given.filter)
    if given.discard:
        return _discard(words, given, out)
    target = _target(words, given.header or [], given.dialect or "both")
    filter = parse(words)
    if given.waiting and words:
        raise UsageError("--waiting sends all that waits for that URL: leave out the filter")
    from agentops.exporters.sender import missing

    if problem := missing():
        raise problem
    if given.waiting:
        sent, refused, running, says = _send_waiting(target)
    else:
        from agentops.exporters.direct import Export

        with opened() as reader:
            export = Export(target, _progress)
            try:
                export.send(reader, reader.iter_traces(filter))
            finally:
                _progress(None)
        sent, refused, running, says = export.sent, export.refused, export.running, export.says
    if out.json:
        out.object({"target": target.known_as, "spans": sent, "refused": refused, "running": running})
    else:
        from agentops.inert import line

        print(f"{sent} span{'s' * (sent != 1)} sent to {line(target.known_as)}")
        if running:
            print(f"{running} still run and were left out: a span is sent when it has ended")
        if refused:
            print(f"{refused} {'was' if refused == 1 else 'were'} refused: {line(says or 'it does not say why', 300)}")
    return 1 if refused else 0


def _discard(words: list[str], given: argparse.Namespace, out: Output) -> int:
    from agentops.cli.asking import sure
    from agentops.store.outbox import discard, states

    with opened() as reader:
        store = reader.path
    known = states(store)
    if words and words[0] in {state.name for state in known}:  # a target may have a name of its own
        name = words.pop(0)
    else:
        name = _target(words, [], "both").known_as
    if words or given.waiting:
        raise UsageError("--discard gives up all that waits for that URL: leave out the rest")
    count = sum(state.waiting for state in _of(known, name))
    spans = f"{count} span{'s' * (count != 1)}"
    if count and not given.yes and not sure(f"give up {spans} that wait{'s' * (count == 1)} for {name}"):
        return 1
    count = discard(store, name)
    if out.json:
        out.object({"target": name, "discarded": count})
    else:
        from agentops.inert import line

        print(f"{count} span{'s' * (count != 1)} given up for {line(name)}; the store has them still")
    return 0


def _of(states: list[State], name: str) -> list[State]:
    """How it stands with the target `name`.

    Raises:
        AgentopsError: nothing was ever to be sent there.
    """
    found = [state for state in states if state.name == name]
    if not found:
        others = ", ".join(state.name for state in states if "#" not in state.name)
        raise AgentopsError(f"no program has exported to {name}; those in this store: {others or 'none'}")
    return found


def _target(words: list[str], headers: list[str], dialect: str) -> Target:
    """The target that the command line names; takes its URL from `words`."""
    from agentops.exporters.target import Target, environment_endpoint, scheme_is_missing

    host, _, port = words[0].partition(":") if words else ("", "", "")
    is_address = port[:1].isdigit() and host.lstrip("-") not in KEYS and scheme_is_missing(words[0])
    if words and ("://" in words[0] or is_address):
        url = words.pop(0)
    elif environment_endpoint() is not None:
        url = "otlp"
    else:
        raise UsageError(
            "say where to: agentops export --to otlp http://localhost:4318, or set OTEL_EXPORTER_OTLP_ENDPOINT"
        )
    named: dict[str, str] = {}
    for header in headers:
        mark = "=" if ":" not in header.partition("=")[0] else ":"
        name, found, value = header.partition(mark)
        if not found or not name.strip():
            raise UsageError("a header is given as NAME=VALUE")
        named[name.strip()] = value.strip()
    return Target(url, headers=named, dialect=dialect)  # type: ignore[arg-type]


def _send_waiting(target: Target) -> tuple[int, int, int, str]:
    from agentops.exporters.delivery import Delivery
    from agentops.store.outbox import states

    with opened() as reader:
        store = reader.path

    def refused() -> int:
        return sum(state.refused for state in states(store) if state.name == target.known_as)

    _of(states(store), target.known_as)
    before = refused()
    delivery = Delivery(store, target)
    waits = [state for state in states(store) if state.name == target.known_as and state.redactor and state.waiting]

    def go_on() -> int:
        _progress(delivery.sent)
        return 512

    try:
        until = time.monotonic() + 10.0
        while not delivery.run(go_on):
            if delivery.trouble is not None or time.monotonic() > until:
                why = delivery.trouble or "another program sends to it at this moment"
                raise AgentopsError(f"{target.known_as}: {why}; {delivery.sent} spans were sent, and the others wait")
            time.sleep(0.2)  # another process is at it
    finally:
        _progress(None)
        delivery.close()
    if waits:
        count, function = sum(state.waiting for state in waits), waits[0].redactor
        print(f"agentops: {count} wait for a program that has the function {function}", file=sys.stderr)
    return delivery.sent, refused() - before, 0, delivery.last_refusal


def _progress(sent: int | None) -> None:
    """On a terminal, how far it is; None takes that away."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K" + (f"{sent} spans sent" if sent else ""))
        sys.stderr.flush()


def _write(path: str, texts: Iterator[str]) -> int:
    """Write `texts` to the file `path`, for this user alone, and say how many there were.

    A file is there in full or as it was before: it is written beside its place and then moved there. What is
    no file (a pipe, /dev/stdout) is written to as it is.
    """
    place = path if os.path.exists(path) and not os.path.isfile(path) else f"{path}.part"
    try:
        try:
            with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                count = sum(1 for text in texts if file.write(text + "\n"))
            if place != path:
                os.replace(place, path)
        except BaseException:
            if place != path and os.path.exists(place):
                os.unlink(place)
            raise
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {problem.strerror}") from problem
    return count

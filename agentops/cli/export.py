"""`agentops export`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from agentops.cli.reading import opened
from agentops.errors import UsageError
from agentops.exporters.jsonl import lines
from agentops.store.filters import parse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from agentops.cli.output import Output

HELP = """Write traces out, lossless: one span a line as JSON (`agentops schema export` says how).

  agentops export --to jsonl status:error since:1h -o failed.jsonl"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="*", help="words of a filter, see `agentops --help`; whole traces are written")
    parser.add_argument("--to", choices=["jsonl"], default="jsonl", help="the format (jsonl)")
    parser.add_argument("-o", "--output", metavar="FILE", help="a file instead of standard output")


def run(given: argparse.Namespace, out: Output) -> int:
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

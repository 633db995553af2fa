"""`agentops export`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agentops.errors import UsageError
from agentops.exporters.jsonl import lines
from agentops.store.filters import parse
from agentops.store.reader import Reader

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output

HELP = """Write traces out, lossless: one span a line as JSON (`agentops schema export` says how).

  agentops export --to jsonl status:error since:1h -o failed.jsonl"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("filter", nargs="*", help="words of a filter, see `agentops --help`; whole traces are written")
    parser.add_argument("--to", choices=["jsonl"], default="jsonl", help="the format (jsonl)")
    parser.add_argument("-o", "--output", metavar="FILE", help="a file instead of standard output")


def run(given: argparse.Namespace, out: Output) -> int:
    filter = parse(given.filter)
    with Reader() as reader:
        if given.output is None:
            for text in lines(reader, reader.iter_traces(filter)):
                sys.stdout.write(text + "\n")
            return 0
        try:
            with open(given.output, "w", encoding="utf-8") as file:
                count = sum(1 for text in lines(reader, reader.iter_traces(filter)) if file.write(text + "\n"))
        except OSError as problem:
            raise UsageError(f"{given.output} cannot be written: {problem.strerror}") from problem
    if out.json:
        out.object({"file": given.output, "spans": count})
    else:
        print(f"agentops: {count} spans in {given.output}", file=sys.stderr)
    return 0

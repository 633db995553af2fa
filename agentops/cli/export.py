from __future__ import annotations

import sys

from agentops.exporters.jsonl import lines
from agentops.store.filters import parse
from agentops.store.reader import Reader


def run(argv: list[str]) -> int:
    words = argv[2:]
    with Reader() as reader:
        for line in lines(reader, reader.iter_traces(parse(words))):
            sys.stdout.write(line + "\n")
    return 0

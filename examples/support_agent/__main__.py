"""Answers one support ticket: `python -m examples.support_agent ["TICKET"]`.

Run it from the root of the repository. The answer goes to standard output, talk
about the run to standard error.
"""

from __future__ import annotations

import argparse
import sys

import agentops

from .agent import SYSTEM, answer_ticket
from .connect import connect, model_name
from .model import Model
from .tools import TOOLS

TICKET = """\
Hello, the glass kettle from order HH-2041 came yesterday, and its lid is cracked.
I would like my money back, please. Mira"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.support_agent")
    parser.add_argument("ticket", nargs="?", default=TICKET, help="the ticket's text")
    options = parser.parse_args()

    agentops.instrument()  # the calls to the model: nothing else in here traces them

    try:
        with connect() as (client, where):
            print(where, file=sys.stderr)
            model = Model(client, model_name(), SYSTEM, TOOLS)
            outcome = answer_ticket(model, options.ticket, write=_write)
            print()
            print(f"trace: {outcome.trace_id}", file=sys.stderr)
    finally:
        # What is on record is safe anyway; this hands the rest over in good order.
        agentops.shutdown()
    return 0


def _write(piece: str) -> None:
    print(piece, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())

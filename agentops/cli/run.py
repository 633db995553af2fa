"""`agentops run`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agentops.run.launch import launch, leave

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output
    from agentops.run.launch import Program

HELP = """Run a program and record it: nothing in it needs to be changed. What it opens, calls to models that its
client libraries make, and what its child processes do hang under one span of the program. Its output, input,
signals and exit code are its own; one line on standard error says at the end how to go on.

  agentops run -- python agent.py
  agentops run -- pytest tests
  agentops run --name nightly -- sh -c 'python fetch.py && python answer.py'

Not reached are Pythons started with -I, -E or -S, or without the environment's PYTHONPATH."""

SPEAKS_JSON = False


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="name of the program's span; the script's or the module's if not given")
    parser.add_argument("command", nargs="*", help="the program and its arguments, after --")


def run(given: argparse.Namespace, out: Output) -> int:
    return start(given.command, given.name)


def start(command: list[str], name: str | None = None) -> int:
    """Run a program; returns its exit code, where no signal ended it."""
    program = launch(command, name)
    try:
        _say(program)
    except Exception as problem:  # noqa: BLE001 - whatever is wrong with the store, the exit code is the program's
        print(f"agentops: {type(problem).__name__}: {problem}", file=sys.stderr)
    return leave(program.end)


def _say(program: Program) -> None:
    from agentops.run.closing import closing_line
    from agentops.settings import resolve

    if not resolve({})["quiet"].value:
        print(closing_line(program), file=sys.stderr, flush=True)

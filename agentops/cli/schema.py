"""`agentops schema`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentops.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output

HELP = """Print the JSON Schema of what a command prints with --json; of `export`, that of a line. Without a command,
of all of them by name.

  agentops schema ls"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("command", nargs="?", help="a command, or `error` for what is printed when one fails")


def run(given: argparse.Namespace, out: Output) -> int:
    del out
    import json

    try:
        from agentops.cli.schemas import SCHEMAS
    except ImportError as problem:
        raise UsageError("schemas are made with pydantic: pip install 'agentops-recorder[schema]'") from problem
    if given.command is not None and given.command not in SCHEMAS:
        raise UsageError(f"there is no schema {given.command!r}; there are {', '.join(SCHEMAS)}")
    if given.command is not None:
        print(json.dumps(SCHEMAS[given.command].model_json_schema(), indent=2))
    else:
        print(json.dumps({name: model.model_json_schema() for name, model in SCHEMAS.items()}, indent=2))
    return 0

"""`agentops`: finds the command and runs it; imports that command's module and no other."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from agentops.errors import AgentopsError, FilterError

if TYPE_CHECKING:
    import argparse

__all__ = ["COMMANDS", "main"]

#: Command, its module in agentops.cli, and what it does.
COMMANDS: dict[str, tuple[str, str]] = {
    "ls": ("ls", "list traces, newest first"),
    "show": ("show", "show one trace as a tree"),
    "search": ("search", "find a text in what was recorded"),
    "export": ("export", "write traces out, one span a line"),
    "doctor": ("doctor", "check the store and say what to do"),
    "config": ("config", "show each setting and where it came from"),
    "schema": ("schema", "print the JSON Schema of a command's --json output"),
}

_FOOT = """
A filter is words: status:error kind:tool name:refund -model:haiku took>5s tokens>1000 since:1h "free text"
Keys: status kind name model session user tag trace score since until, and cost took tokens spans errors with
> or <. A minus in front negates.

Exit codes: 0 well, 1 problems found, 2 called wrongly, 3 the store cannot be read or written, 4 no such trace
or store, 130 interrupted."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words:
        return _alone()
    if words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] in ("-V", "--version"):
        import agentops

        print(f"agentops {agentops.__version__}")
        return 0
    as_json = "--json" in words
    try:
        return _run(words[0], words[1:])
    except AgentopsError as problem:
        _complain(problem, as_json)
        return problem.exit_code
    except BrokenPipeError:
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return 0
    except KeyboardInterrupt:
        return 130


def usage() -> str:
    """What `agentops --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {meaning}" for name, (_, meaning) in COMMANDS.items()]
    return "usage: agentops COMMAND [--help]\n\ncommands:\n" + "\n".join(lines) + "\n" + _FOOT


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command.

    Raises:
        UsageError: there is no such command.
    """
    import argparse
    import importlib

    from agentops.errors import UsageError

    if name not in COMMANDS:
        raise UsageError(f"there is no command {name!r}; there are {', '.join(COMMANDS)}")
    module = importlib.import_module(f"agentops.cli.{COMMANDS[name][0]}")
    parser = argparse.ArgumentParser(
        prog=f"agentops {name}",
        description=module.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

    def complain(message: str) -> NoReturn:
        raise UsageError(f"{message} (see `agentops {name} --help`)")

    parser.error = complain  # type: ignore[method-assign]
    module.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object, see `agentops schema`")
    parser.set_defaults(run=module.run)
    return parser


def _run(name: str, words: list[str]) -> int:
    from agentops.cli.output import Output

    parser = parser_of(name)
    # A negated word of a filter (-kind:tool) looks like an option to argparse; our short ones have one letter.
    hidden = ["\0" + word if word[:1] == "-" and word[:2] != "--" and len(word) > 2 else word for word in words]
    given = parser.parse_intermixed_args(hidden)
    for field in ("filter", "text"):
        if hasattr(given, field):
            setattr(given, field, [word.removeprefix("\0") for word in getattr(given, field)])
    output = Output(json=given.json, ascii=getattr(given, "ascii", False))
    code: int = given.run(given, output)
    sys.stdout.flush()
    return code


def _alone() -> int:
    """Without a command: the explorer, where one is installed."""
    from importlib.metadata import entry_points

    for entry in entry_points(group="agentops.ui"):
        return int(entry.load()() or 0)
    print(usage(), file=sys.stderr)
    return 2


def _complain(problem: AgentopsError, as_json: bool) -> None:
    from agentops.inert import block, line

    if not as_json:
        if isinstance(problem, FilterError):  # the mark stands below what is shown, not below what was typed
            from agentops.cli.formats import cells

            before, wrong = problem.line[: problem.start], problem.line[problem.start : problem.end]
            print(f"agentops: {block(str(problem.args[0]))}\n  {line(problem.line)}", file=sys.stderr)
            print("  " + " " * cells(line(before)) + "^" * max(1, cells(line(wrong))), file=sys.stderr)
            return
        print(f"agentops: {block(str(problem))}", file=sys.stderr)
        return
    import json

    error: dict[str, object] = {"type": type(problem).__name__, "message": str(problem.args[0])}
    if isinstance(problem, FilterError):
        error |= {"line": problem.line, "start": problem.start, "end": problem.end}
    print(json.dumps({"version": 1, "error": error}), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

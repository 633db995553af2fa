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
    "run": ("run", "run a program that nobody prepared, recorded"),
    "why": ("why", "say what went wrong in one trace"),
    "ls": ("ls", "list traces, newest first"),
    "show": ("show", "show one trace as a tree"),
    "tail": ("tail", "follow spans as they begin and end"),
    "search": ("search", "find a text in what was recorded"),
    "stats": ("stats", "count calls, tokens, cost and durations"),
    "prices": ("prices", "show which prices hold for a model, and whose"),
    "reprice": ("reprice", "compute what past calls cost by today's prices"),
    "cache-audit": ("cache_audit", "say what broke the provider's prompt cache, and what it cost"),
    "export": ("export", "write traces out, one span a line"),
    "import": ("import_", "take in what export wrote, or a log of model calls"),
    "prune": ("prune", "take traces out of the store"),
    "forget": ("forget", "make a user, a session or a match forgotten"),
    "audit": ("audit", "look for personal data, secrets and canaries in what is on disk"),
    "backup": ("backup", "copy the whole store while programs write"),
    "doctor": ("doctor", "check the store and say what to do"),
    "config": ("config", "show each setting and where it came from"),
    "schema": ("schema", "print the JSON Schema of a command's --json output"),
}

_FOOT = """
A filter is words:
  status:error kind:tool name:refund -model:haiku 'took>5s' since:1h "free text"
Keys: status kind name model session user tag trace score since until, and cost
took tokens spans errors with > or <. A minus in front negates.

Exit codes: 0 well, 1 problems found, 2 called wrongly, 3 the store cannot be
read or written, 4 no such trace or store, 130 interrupted."""

#: Lines of a help text are no longer, however wide the terminal is.
_PROSE_CELLS = 110
#: In front of a word that argparse must not take for an option.
_WORD = "\0"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    import os

    words = sys.argv[1:] if arguments is None else arguments
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        return _run(words)
    except AgentopsError as problem:
        _complain(problem, _wants_json(words))
        return problem.exit_code
    except BrokenPipeError:
        _forget_output()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as problem:  # a full disk, or a store that no agentops wrote
        if os.environ.get("AGENTOPS_RAISE") == "1":
            raise
        error = _as_ours(problem)
        _complain(error, _wants_json(words))
        _forget_output()
        return error.exit_code


def _wants_json(words: list[str]) -> bool:
    return "--json" in words[: words.index("--") if "--" in words else None]


def _forget_output() -> None:
    """What is left in the buffer cannot be written, and Python would complain about it at its end."""
    import os

    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # it is no file at all
        pass


def _as_ours(problem: Exception) -> AgentopsError:
    """What nobody expected, as an error that says what to do."""
    from agentops.store.schema import DatabaseError, translate

    if isinstance(problem, DatabaseError):
        return translate(problem, "the store")
    if isinstance(problem, OSError):
        return AgentopsError(f"the output cannot be written: {problem.strerror or problem}")
    return AgentopsError(
        f"the store holds what this command does not understand, or there is a mistake in agentops: "
        f"{type(problem).__name__}: {problem} (`agentops doctor` looks at the store; AGENTOPS_RAISE=1 shows where)"
    )


def usage() -> str:
    """What `agentops --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {meaning}" for name, (_, meaning) in COMMANDS.items()]
    return (
        "usage: agentops COMMAND [--help]\n\nAlone, on a terminal, it opens the explorer.\n\ncommands:\n"
        + "\n".join(lines)
        + "\n"
        + _FOOT
    )


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
        formatter_class=_formatter(),
        allow_abbrev=False,
    )

    def complain(message: str) -> NoReturn:
        raise UsageError(f"{message} (see `agentops {name} --help`)")

    parser.error = complain  # type: ignore[method-assign]
    module.arguments(parser)
    if getattr(module, "SPEAKS_JSON", True):
        parser.add_argument("--json", action="store_true", help="print one JSON object, see `agentops schema`")
    parser.set_defaults(run=module.run)
    return parser


def _formatter() -> type[argparse.HelpFormatter]:
    import argparse
    import textwrap

    class Formatter(argparse.RawDescriptionHelpFormatter):
        """Sentences break at words where the terminal ends; examples, which are indented, stay as they are."""

        def _fill_text(self, text: str, width: int, indent: str) -> str:
            width = min(width, _PROSE_CELLS)
            parts = text.strip("\n").split("\n\n")
            filled = [p if p.startswith(" ") else textwrap.fill(p, width, break_on_hyphens=False) for p in parts]
            return "\n\n".join(filled)

    return Formatter


def _run(words: list[str]) -> int:
    if not words:
        return _alone()
    name = words[0]
    if name in ("-h", "--help", "help", "-V", "--version"):
        import agentops

        print(f"agentops {agentops.__version__}" if name in ("-V", "--version") else usage(), flush=True)
        return 0
    if name == "run":
        words = _divided(words)
        if words[1:2] == ["--"]:  # by far the commonest form, and the program waits: argparse is left out
            from agentops.cli.run import start

            return start(words[2:])
    from agentops.cli.output import Output

    parser = parser_of(name)
    given = parser.parse_intermixed_args(_arranged(parser, words[1:]))
    for field, value in vars(given).items():
        if isinstance(value, str):
            setattr(given, field, value.removeprefix(_WORD))
        elif isinstance(value, list):
            setattr(given, field, [word.removeprefix(_WORD) for word in value])
    output = Output(json=getattr(given, "json", False), ascii=getattr(given, "ascii", False))
    code: int = given.run(given, output)
    sys.stdout.flush()
    return code


def _divided(words: list[str]) -> list[str]:
    """`agentops run agent.py --fast` as `agentops run -- agent.py --fast`: what a program is given is its own."""
    for n, word in enumerate(words[1:], 1):
        if word == "--" or word.startswith("--name"):
            return words
        if not word.startswith("-"):
            return [*words[:n], "--", *words[n:]]
    return words


def _arranged(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """`words` so that argparse takes none for an option that is none: a filter's -kind:tool, or what follows --."""
    flags = {flag: action.nargs != 0 for action in parser._actions for flag in action.option_strings}
    arranged: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            arranged += [_WORD + more for more in rest]
        elif flags.get(word):  # its value may begin with a minus too
            value = next(rest, None)
            glue = "=" if word.startswith("--") else ""
            arranged.append(word if value is None else word + glue + value)
        elif word[:1] == "-" and word[:2] != "--" and len(word) > 2:  # our short options have one letter
            arranged.append(_WORD + word)
        else:
            arranged.append(word)
    return arranged


def _alone() -> int:
    """Without a command: the explorer, on a terminal that can show it."""
    import os

    streams = (sys.stdin, sys.stdout, sys.stderr)  # Textual reads from the first and paints on the last
    if all(stream is not None and stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb":
        from importlib.metadata import entry_points

        for entry in entry_points(group="agentops.ui"):
            return int(entry.load()() or 0)
    print(f"{usage()}\n\nNo command was given, and this is no terminal.", file=sys.stderr)
    return 2


def _complain(problem: AgentopsError, as_json: bool) -> None:
    from agentops.inert import block, line

    if not as_json:
        if isinstance(problem, FilterError):  # the mark stands below what is shown, not below what was typed
            from agentops.formats import cells

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

"""`agentops import`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentops.errors import UsageError
from agentops.inert import line as inert

if TYPE_CHECKING:
    import argparse

    from agentops.cli.output import Output
    from agentops.importers.calls import Calls
    from agentops.importers.lines import Source
    from agentops.importers.writing import Importer

HELP = """Take in what `agentops export --to jsonl` wrote, or a log of model calls: lines with a JSON object in them,
whatever logging put around it. Each line is seen for what it is. Compressed files (gzip) are read too.

What is here already is not taken again: a run that has ended since, or a log that has grown, adds what is new.
What still ran when it was exported is shown as cut off, until an import says how it ended.
Each call of a log becomes a trace of its own. Its prompt, response, model, tokens, cost, latency, error and time are
found under the names that people give them, and what else the object says is kept as attributes. A log that was
rotated is imported together with its older parts, oldest first.

  agentops import runs.jsonl
  agentops import app.log.2.gz app.log.1 app.log
  ssh server cat llm_calls.log | agentops import -

It ends with 1 if an exported span could not be taken; lines of a log that are no calls are counted and said."""

#: So many of the lines that were not taken are named.
_NAMED = 3
_NAMED_JSON = 100


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="+", help="a file, or - for standard input")


def run(given: argparse.Namespace, out: Output) -> int:
    from agentops.importers.calls import Calls
    from agentops.importers.lines import Source
    from agentops.importers.writing import Importer

    sources = [Source(path) for path in given.file]  # all of them, before anything is written
    results = []
    with Importer() as importer:
        calls = Calls()
        for source in sources:
            results.append(_File(source, importer, calls))
            if not out.json:
                out.line(f"agentops: {results[-1].sentence()}")
    if out.json:
        out.object({"files": [result.fields() for result in results]})
    useless = [result for result in results if result.useless]
    if useless:
        number, why = useless[0].problems[0]
        raise UsageError(
            f"{inert(useless[0].name)} holds neither what `agentops export --to jsonl` wrote nor a log of model calls "
            f"(line {number}: {why})"
        )
    return 1 if any(result.lost for result in results) else 0


class _File:
    """Imports one file, and says what came of it."""

    def __init__(self, source: Source, importer: Importer, calls: Calls) -> None:
        self.name = source.name
        self.spans = self.calls = self.skipped = 0
        self.problems: list[tuple[int, str]] = []
        self._broken = False
        importer.begin_file()
        for number, line in source.lines():
            self._take(source, importer, calls, number, line)
        importer.flush()
        self.imported, self.traces = importer.imported, importer.traces
        self.known, self.completed = importer.known, importer.completed

    def _take(self, source: Source, importer: Importer, calls: Calls, number: int, line: Any) -> None:
        from agentops.importers.calls import is_call, objects
        from agentops.importers.lines import Unusable
        from agentops.importers.spans import is_span, span_of

        try:
            if isinstance(line, Unusable):
                self._broken = True
                raise line
            if not line.strip():
                return
            text = _text(line)
            found = "no JSON object"
            for before, value in objects(text):
                if is_span(value):
                    span = span_of(value)
                    importer.add(span, len(line), newest_first=True)
                    self.spans += 1
                    return
                if is_call(value):
                    span = calls.span(line, number, before, value, source.written_ns)
                    importer.add(span, len(line), newest_first=False)
                    self.calls += 1
                    return
                found = "its JSON object is no model call"
            raise Unusable(found)
        except (Unusable, RecursionError) as problem:
            self.skipped += 1
            if len(self.problems) < _NAMED_JSON:
                self.problems.append((number, str(problem) if isinstance(problem, Unusable) else "nested too deeply"))

    @property
    def useless(self) -> bool:
        """Whether nothing in the file is what is imported."""
        return bool(self.skipped) and not self.spans and not self.calls

    @property
    def lost(self) -> bool:
        """Whether something that should be here is not."""
        return self._broken or bool(self.spans and self.skipped)

    def sentence(self) -> str:
        """What came in, for people."""
        what = "calls" if self.calls and not self.spans else "spans"
        text = f"{_many(self.imported, what)} "
        if what == "spans":
            text += f"of {_many(self.traces, 'traces')} "
        text += f"imported from {inert(self.name)}, {self.known} {'was' if self.known == 1 else 'were'} here already"
        if self.completed:
            text += f" and {self.completed} of them {'was' if self.completed == 1 else 'were'} completed"
        if self.skipped:
            named = "; ".join(f"line {number}: {inert(why, 200)}" for number, why in self.problems[:_NAMED])
            more = "; …" if self.skipped > _NAMED else ""
            text += f", {_many(self.skipped, 'lines')} skipped ({named}{more})"
        return text

    def fields(self) -> dict[str, Any]:
        """What came in, as --json has it."""
        return {
            "file": self.name,
            "imported": self.imported,
            "traces": self.traces,
            "known": self.known,
            "completed": self.completed,
            "skipped": self.skipped,
            "problems": [{"line": number, "message": why} for number, why in self.problems],
        }


def _text(line: bytes) -> str:
    from agentops.importers.lines import Unusable

    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unusable("not UTF-8") from None


def _many(number: int, what: str) -> str:
    return f"{number} {what if number != 1 else what[:-1]}"

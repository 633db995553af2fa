"""What went wrong in a run: the first error, where it came from, and what else is out of the ordinary."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from agentops.analysis.asked import Call, asked
from agentops.analysis.causes import caller, causes, is_overflow, largest
from agentops.analysis.death import Death, Waiting, deadlock, death, frames, printed_error, sentence
from agentops.analysis.findings import Finding, Findings, Kind
from agentops.analysis.loops import LOOP_CALLS, asked_again, repeated
from agentops.analysis.raised import place, without_modules, words
from agentops.analysis.run import LLM, Run, called
from agentops.analysis.signs import growth, limits, signs
from agentops.analysis.texts import tail
from agentops.formats import moment
from agentops.journal.format import ERROR, INTERRUPTED, OK, RUNNING
from agentops.store.reader import Reader
from agentops.store.rows import SpanRow, TraceRow

__all__ = ["headline", "why"]

_CAUSES = 4
#: Score of what may well be as it should.
_BUT = 60
#: Of a run that went well, a step is told as the slowest if it took so much of it.
_TELLING_SHARE = 0.25
#: Characters of a finding beside its kind and its span's id in 100 cells.
_ROOM = 76


def why(reader: Reader, trace: TraceRow) -> Findings:
    """Say what went wrong in a run, also in one that ended well by its status.

    Args:
        reader: the store.
        trace: one of its traces.

    Raises:
        StoreError: the store cannot be read.
    """
    return _Why(Run(reader, trace)).findings()


def headline(reader: Reader, trace: TraceRow) -> tuple[str, str] | None:
    """Name of the span in which a run failed, and the type of its error (or how it was stopped); None if it did not.

    Cheap: it reads the skeleton alone.
    """
    if trace.status_number == OK or trace.status_number == RUNNING:
        return None
    run = Run(reader, trace, skeleton_only=True)
    root = run.root
    if root is None:
        return None
    if root.status_number == ERROR:
        failed = run.origin(root)
        return failed.name, error_type(failed.error or root.error)
    open_spans = run.open()
    return (open_spans[-1].name if open_spans else root.name), "interrupted"


def error_type(error: str | None) -> str:
    """`TimeoutError` of `TimeoutError: payment service did not answer`; `error` where it says no type."""
    kind = without_modules(error or "").partition(":")[0]
    return kind if kind and " " not in kind and len(kind) <= 80 else "error"


class _Why:
    """The findings of one run, as they are put together."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.root = run.root
        self.suspects: list[Finding] = []
        self.background: list[Finding] = []
        self.death: Death | None = None
        self.waiting: list[Waiting] = []  # in a deadlock
        self.first: SpanRow | None = None  # the error that the run failed with, or the first that it got over

    def findings(self) -> Findings:
        run, trace = self.run, self.run.trace
        if self.root is None:
            return Findings(trace, False, f"{trace.name} has no spans", None, [])
        self.death = death(run)
        if self.root.status_number == RUNNING or (self.death is not None and self.death.phase == "deadlock"):
            self.waiting = deadlock(run)
        self._errors()
        calls = [] if run.has_tools else asked(run)
        self.suspects += signs(run, calls)
        self._of_handled()
        self._open()
        if said := self._exit():
            self.add("ended with", 49, self.root, f"{called(self.root)} ended with {said}")
        self._repeated()
        self._asked_again(calls)
        self._context()
        self.suspects.sort(key=_score, reverse=True)
        suspects = _each_span_once([f for f in self.suspects if f.score >= 50])
        self.background += [f for f in self.suspects if f.score < 50]
        failed = self.root.status_number in (ERROR, INTERRUPTED)
        headline, cause = self._headline(suspects)
        around = self._around(suspects)
        raised_at = self._place(suspects)
        self.background += limits(run)
        self._slowest(well=not failed and not suspects and self.first is None)
        self.background.sort(key=_score, reverse=True)
        first = (*suspects[:1], *raised_at, *suspects[1:_CAUSES], *around)
        keep = {id(f): f for f in (*first, *suspects[_CAUSES:8], *self.background)}
        printed = self._printed()
        # Of a program that another error led to its end, they are told last.
        died = self.death
        late = died is None or not died.output or (self.first not in (None, self.root) and not died.signal)
        last = printed if late else []
        rows = _without_repeats([*self._left_behind(), *(() if last else printed), *keep.values(), *last])
        return Findings(trace, failed, headline, cause, rows, self.death)

    def _left_behind(self) -> list[Finding]:
        """The last stack, the last lines, and what had come of an answer, of a program that died."""
        found = self.death
        rows = [Finding("stack", 49, w.span, self._path(w.span) if w.span else (), w.text) for w in self.waiting[:4]]
        if found is None:
            return rows
        path = () if found.span is None else self._path(found.span)
        if found.stack and not rows:
            rows.append(Finding("stack", 49, found.span, path, frames(found.stack, found.own)))
        if found.answered:
            text = _ending(f"{found.chunks} chunks had come:", found.answered)
            rows.append(Finding("answered", 49, found.span, path, text))
        return rows

    def _printed(self) -> list[Finding]:
        """The last lines of a program that died, where no exception of its own tells more."""
        found, root = self.death, self.root
        if found is None or root is None or ((said := self.run.exception(root)) and said["type"]):
            return []
        if not found.output and self.run.attributes(root).get("process.lines_withheld") is True:
            return [Finding("printed", 48, None, (), "not kept: a program that redacts has none of its lines noted")]
        return [Finding("printed", 48, None, (), line) for line in found.output[-5:] if line.strip()]

    def add(self, kind: Kind, score: int, span: SpanRow | None, text: str) -> None:
        finding = Finding(kind, score, span, () if span is None else self._path(span), text)
        (self.suspects if kind in _SUSPECT_KINDS else self.background).append(finding)

    # -- errors --------------------------------------------------------------------------------------

    def _errors(self) -> None:
        run = self.run
        failed = run.failed()
        if not failed:
            return
        assert self.root is not None
        fatal = run.origin(self.root) if self.root.status_number == ERROR else None
        origins = list(dict.fromkeys(run.origin(span) for span in failed[:200]))
        origins.sort(key=lambda span: (span.end_ns or 0, span.start_ns))
        handled = [span for span in origins if span is not fatal]
        ended_by = None if fatal is None or not handled else run.exception(fatal)
        own_error = bool(ended_by and ended_by["type"])  # else what was handled may well be why
        on_the_way = set() if fatal is None else {span.span_id for span in run.path(fatal)}
        for span in handled:
            if span.span_id in on_the_way:
                continue  # what the error was turned into on its way up
            said = _raised(span)
            if self._is_process(span):
                self.add("error", 89, span, f"{called(span)}, a process it started, died: {words(span.error)}")
                continue
            later, again = run.worked_later(span, lambda other: other.status_number == OK)
            if again:
                self.add("error", 46, span, f"{said}; it worked when it was tried again")
            elif own_error:
                self.add("before", 47, span, f"{said}; the run went on")
            elif later:
                self.add("error", 74, span, f"{said}; a later {span.name} worked")
            else:
                self.add("error", 79, span, f"{said}; the run went on")
        self.first = fatal or next((span for span in handled), None)
        if fatal is not None:
            self._causes(fatal, words(fatal.error), 0)
            if self.root.error and fatal.error and self.root.error != fatal.error and fatal is not self.root:
                self.add("ended with", 48, self.root, f"{called(self.root)} ended with {words(self.root.error)}")

    def _killed(self) -> bool:
        """Whether the program ended in the middle of what it did."""
        died = self.death
        return died is not None and (died.cause in ("killed", "native crash") or bool(died.signal))

    def _interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.root is not None and error_type(self.root.error) == "KeyboardInterrupt"

    def _is_process(self, span: SpanRow) -> bool:
        """Whether it is a child of the program, which has a span if an exception ended it."""
        above = self.root is not None and span.parent_id == self.root.span_id and not self.run.contains(span)
        return above and "process.command_args" in self.run.attributes(span)

    def _causes(self, failed: SpanRow, error: str, less: int) -> None:
        for cause in causes(self.run, failed, error):
            if cause.span is not failed and cause.score - less >= 50:
                self.add("cause", cause.score - less, cause.span, cause.text)

    def _of_handled(self) -> None:
        """Where the worst of what the run got over came from."""
        assert self.root is not None
        if self.root.status_number == ERROR:
            return
        worst = max((f for f in self.suspects if f.kind == "error" and f.score >= 50), key=_score, default=None)
        if worst is not None and worst.span is not None:
            said = worst.span.error or worst.text.partition("answered with an error: ")[2]
            self._causes(worst.span, said, max(0, 78 - worst.score) + 15)

    def _open(self) -> None:
        run = self.run
        found = sorted(run.open(), key=lambda s: -s.start_ns)[:3]
        end = max(span.end_ns or span.start_ns for span in run.spans) if found else 0
        for n, span in enumerate(found):
            if span.status_number == RUNNING:
                if span is not self.root:  # of which the headline tells
                    self.add("open", 49 - n, span, f"{called(span)} runs since {moment(span.start_ns)}")
                continue
            text = f"{called(span)} was open at the end"
            waited = (end - span.start_ns) / 1e9
            if span is self.root and run.contains(span):
                text += "; all steps in it had ended"
            elif waited > 0.5:
                text += f", for {waited:.1f} s at least"
            self.add("open", 90 - n, span, text)

    def _exit(self) -> str:
        """How a program that `agentops run` started came to a bad end; nothing if it did not."""
        assert self.root is not None
        attributes = self.run.attributes(self.root)
        signal, code = attributes.get("process.exit.signal"), attributes.get("process.exit.code")
        return f"signal {signal}" if signal else f"exit code {code}" if type(code) is int and code else ""

    def _place(self, suspects: list[Finding]) -> list[Finding]:
        """Where in the user's code the exception was raised that the run failed with, or the worst that it got over."""
        assert self.root is not None
        at = self.first if self.root.status_number == ERROR else suspects[0].span if suspects else None
        if at is None or at.status_number != ERROR:
            return []
        folder = self.run.attributes(self.root).get("process.working_directory")
        folder = folder if isinstance(folder, str) else None
        # A client's own span has the client's frames alone; where it was called from, a span above it may know.
        for span in reversed(self.run.path(at)):
            exception = self.run.exception(span) if span.error == at.error else None
            if exception is not None:
                found = place(exception["stacktrace"], exception["message"], folder)
                if found is not None:
                    return [Finding("place", 49, at, self._path(at), f"raised at {found}")]
        return []

    # -- the whole run -------------------------------------------------------------------------------

    def _repeated(self) -> None:
        for n, group in enumerate(repeated(self.run)[:3]):
            first, times = group.spans[0], len(group.spans)
            alike = "the same input" if group.exact else "inputs that differ in ids and times only"
            text = f"{called(first)} was called {times} times with {alike}"
            text += f", in turn with {group.with_name}" if group.with_name else ""
            given = tail(self.run.input(first), 60) if self.run.exchange(first).input is not None else ""
            text += f": {given}" if given and given != "{}" else ""
            loop = times >= (2 if first.kind_number == LLM else 1) * LOOP_CALLS
            if loop:
                self.add("loop", min(72 + times if group.exact else 70, 87) - n, first, text)
            elif n == 0:
                self.add("repeated", 20, first, text)

    def _asked_again(self, all_calls: list[Call]) -> None:
        """As `_repeated`, of tools that have no spans: models asked for them."""
        for n, (calls, with_name) in enumerate(asked_again(all_calls)[:3]):
            first, times = calls[0], len(calls)
            text = f"{first.name} was asked for {times} times with the same input"
            text += f", in turn with {with_name}" if with_name else ""
            text += f": {tail(first.given, 60)}" if first.given else ""
            self.add("loop", min(72 + times, 87) - n, first.span, f"{text}, first by {called(first.span)}")

    def _context(self) -> None:
        full = next((f for f in self.suspects if f.kind == "context"), None)
        grown = growth(self.run)
        overflow = self.first is not None and is_overflow(self.first.error)
        if grown is not None:
            before, after, span, source = grown
            text = f"the context grew most at {called(span)}, from {before:,} to {after:,} tokens"
            if source is not None and source is not span:
                text = f"{called(source)} came before the most growth of the context, {before:,} to {after:,} tokens"
                span = source
            self.add("growth", 77 if full or overflow else 15, span, text)
        elif full is not None and full.span is not None:
            self.suspects += [
                Finding("growth", 76, c.span, self._path(c.span), c.text)
                for c in largest(self.run, self.run.before(full.span))
            ]

    def _slowest(self, well: bool) -> None:
        spans, parents = self.run.spans, self.run.parents
        took = [
            end_ns - start_ns if end_ns is not None and span_id not in parents else -1
            for span_id, start_ns, end_ns in map(itemgetter(0, 5, 6), spans)
        ]
        longest = max(took, default=-1)
        if longest < 10**6 or len(took) - took.count(-1) < 2:
            return
        slow = spans[took.index(longest)]
        whole = self.run.trace.duration_ns
        if well and whole and longest < _TELLING_SHARE * whole:
            return
        share = f", {(slow.duration_ns or 0) / whole:.0%} of the run" if whole else ""
        self.add("slowest", 10, slow, f"{called(slow)} took the longest, {_seconds(slow.duration_ns or 0)}{share}")

    # -- what is shown -------------------------------------------------------------------------------

    def _headline(self, suspects: list[Finding]) -> tuple[str, SpanRow | None]:
        run, root, trace = self.run, self.root, self.run.trace
        assert root is not None
        cause = suspects[0].span if suspects else None
        name = trace.name if len(trace.name) <= 40 else trace.name[:39] + "…"
        died = self.death
        if died is not None and self._killed():
            return f"{name} {sentence(run, died)}", died.span or root
        if root.status_number == ERROR and self.first is not None:
            if self._interrupted():
                while_ran = "" if self.first is root else f" while {called(self.first)} ran"
                return f"{name} was interrupted by Ctrl-C (SIGINT){while_ran}", cause or self.first
            if self.first is root:
                failed = words(root.error) or self._exit() or "it says no error"
                if died is not None and failed == self._exit() and (said := printed_error(died.output)):
                    failed += f", and the last that it printed is {words(said)}"
                return f"{name} failed: {failed}", cause or root
            return f"{name} failed: {_raised(self.first)}", cause or self.first
        if root.status_number == INTERRUPTED and died is not None and died.phase == "deadlock":
            return f"{name} {sentence(run, died)}", died.span or cause or root
        if root.status_number == INTERRUPTED:
            open_span = next((f for f in suspects if f.kind == "open"), None)
            return f"{name} was cut off: {open_span.text if open_span else 'its program died'}", cause or root
        running = root.status_number == RUNNING
        if running and self.waiting:
            return f"{name} still runs, and is in a deadlock: {self.waiting[0].text}", self.waiting[0].span or root
        state = "still runs" if running else "ended ok"
        if suspects:
            but = ", but" if suspects[0].score >= _BUT else ";"
            return f"{name} {state}{but} {suspects[0].text}", cause
        if self.first is not None:
            return f"{name} {state}; worked when tried again: {_raised(self.first)}", None
        if running:
            idle = "; no step of it runs now" if run.contains(root) and run.open()[-1:] == [root] else ""
            return f"{name} still runs, since {moment(root.start_ns)}{idle}", None
        return f"{name} {state}: nothing failed", None

    def _around(self, suspects: list[Finding]) -> list[Finding]:
        """The path to the first error (or the first suspect), what it was given and gave, and the call before it."""
        run = self.run
        assert self.root is not None
        at = self.first if self.root.status_number == ERROR or not suspects else suspects[0].span
        if self._killed() and self.death is not None and self.death.open:
            at = self.death.span
        if at is None:
            return []
        path = self._path(at)
        found = [Finding("path", 40, at, path, " > ".join(path))]
        if run.exchange(at).input is not None:
            found.append(Finding("input", 39, at, path, _ending(f"{called(at)} was given", run.input(at))))
        told = at.status_number == ERROR or any(f.kind == "empty" and f.span is at for f in suspects)
        if run.exchange(at).output is not None and not told:
            found.append(Finding("output", 39, at, path, _ending(f"{called(at)} gave", run.output(at))))
        before = [span for span in run.before(at, 100) if not run.contains(span)][-1:]
        asked = caller(run, at) if at.kind_number != LLM else None
        if asked is not None and asked not in before:
            found += self._call(asked, "the model call before")
        return [*found, *(f for span in before for f in self._call(span, "the call before"))]

    def _call(self, span: SpanRow, word: str) -> list[Finding]:
        """What a call was given and what it gave."""
        run, path = self.run, self._path(span)
        found: list[Finding] = []
        if run.exchange(span).input is not None:
            text = _ending(f"{called(span)}, {word}, was given", run.input(span))
            found.append(Finding("before", 38, span, path, text))
        if run.exchange(span).output is not None:
            text = _ending(f"{span.name} gave" if found else f"{called(span)}, {word}, gave", run.output(span))
            found.append(Finding("before", 37, span, path, text))
        return found or [Finding("before", 37, span, path, f"{called(span)} was {word}")]

    def _path(self, span: SpanRow) -> tuple[str, ...]:
        return tuple(above.name for above in self.run.path(span))


def _ending(begins: str, value: Any) -> str:
    """A sentence with the end of a value, as much as a line of 100 cells has room for."""
    return f"{begins} {tail(value, max(24, _ROOM - len(begins)))}"


_SUSPECT_KINDS = ("cause", "error", "refused", "cut off", "context", "empty", "loop", "open", "growth", "ended with")


def _score(finding: Finding) -> int:
    return finding.score


def _raised(span: SpanRow) -> str:
    return f"{called(span)} raised {words(span.error)}" if span.error else f"{called(span)} failed without a word"


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.1f} s" if ns >= 10**9 else f"{ns / 1e6:.0f} ms"


def _each_span_once(findings: list[Finding]) -> list[Finding]:
    """Of several findings about one span (or calls of one name that say the same), the first."""
    seen: set[object] = set()
    kept: list[Finding] = []
    for finding in findings:
        key = finding.span.span_id if finding.span else finding.text
        if key not in seen and (finding.kind, finding.text) not in seen:
            kept.append(finding)
        seen |= {key, (finding.kind, finding.text)}
    return kept


def _without_repeats(findings: list[Finding]) -> list[Finding]:
    seen: set[str] = set()
    return [f for f in findings if not (f.text in seen or seen.add(f.text))]  # type: ignore[func-returns-value]

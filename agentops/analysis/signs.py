"""Signs of trouble that stand in single spans, whatever their status: the whole run is looked through once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from agentops.analysis.asked import Call, failed_results
from agentops.analysis.causes import is_overflow
from agentops.analysis.findings import Finding, Kind
from agentops.analysis.judging import emptiness, said_error, worth_decoding
from agentops.analysis.normal import message
from agentops.analysis.run import AGENT, LLM, LOOP, PLAN, RETRIEVAL, TOOL, Run, called
from agentops.analysis.stopping import finish, reasons, stopped_it
from agentops.analysis.texts import text_of
from agentops.conventions import KIND_NUMBER, LOOP_REASON, LOOP_STOPPED
from agentops.journal.format import ERROR, encode
from agentops.store.flow import Key
from agentops.store.rows import SpanRow

__all__ = ["growth", "limits", "signs"]

_LOOP_STOPPED = LOOP_STOPPED.encode()
_NOT_STEPS = frozenset((AGENT, LOOP, PLAN, LLM, KIND_NUMBER["guardrail"]))
_CALLS = frozenset((TOOL, RETRIEVAL))
#: An empty text, an empty list, an empty text in a block, as they are encoded.
_EMPTY_ANSWERS = frozenset((b"\xa0", b"\x90", encode([{"type": "text", "text": ""}])))
_GUARDRAIL = KIND_NUMBER["guardrail"]
_NO_CONTENT = (0, b"")
_RERANK = KIND_NUMBER["rerank"]
#: Names of steps that are asked for something and give it.
_SEARCHES = re.compile(r"(?i)search|retriev|lookup|look_up|find|query|fetch|recall|knowledge|doc|\brag\b|vector|^list")
_LIMIT = re.compile(
    r"(?i)limit|stopped|exceed|exhaust|\bmax|_max|budget|throttl|g(?:i|a)ve[ _]?n?[ _]?up|abort|truncat|cancel|circuit"
)
_FINISH = re.compile(
    rb"(?i)refus|filter|safety|length|max_|limit|context|block|recitation|incomplete|error|malform|spii|sensitive|truncat|fail"
)
_PREFIX = re.compile(r"(?i)^error:\s+")
_RETRY = re.compile(r"(?i)retry|retries|retrying|attempt|backoff|reconnect")
#: A tool's error that comes so often is more than an answer that a model learns from.
_OFTEN = 3
#: An output that says nothing was found is short, unless it says so at length under many keys.
_EMPTY_BYTES = 400


def signs(run: Run, calls: list[Call], shown: int = 12) -> list[Finding]:
    """Refusals, answers cut off, errors that were handed back as values, searches that found nothing.

    Args:
        run: the run.
        calls: what models asked for, where tools have no spans.
        shown: so many findings are looked at once more.
    """
    steps, models = _candidates(run)
    found: list[Finding] = []
    raws = run.raws
    known: dict[bytes, bool] = {}
    for span in models:  # thousands of them, of which hardly any is worth a second look
        _, output, body = run.exchanges[span.span_id]
        answer = output if type(output) is bytes else raws.get(output, _NO_CONTENT)[1]  # type: ignore[arg-type]
        if _stopped_badly(body, known) or (answer and (_stopped_badly(answer, known) or _worth_a_look(answer))):
            found += _of_model(run, span, answer)
        if answer in _EMPTY_ANSWERS:
            found.append(_finding(run, "empty", 58, span, f"{called(span)} gave an empty answer"))
    if not run.has_tools:
        found += _results_given(run, models, calls)
    judged: dict[Key, tuple[str | None, str | None]] = {}
    kept = [run.exchanges[span.span_id].output for span in steps]
    for n in worth_decoding([run.raw(output) for output in kept]):
        finding = _of_step(run, steps[n], judged)
        if finding is not None:
            found.append(finding)
    found += _stopped(run)
    found += _of_loops(run)
    found.sort(key=lambda finding: -finding.score)
    return [_softened(run, finding, judged) if n < shown else finding for n, finding in enumerate(found)]


def _candidates(run: Run) -> tuple[list[SpanRow], list[SpanRow]]:
    """Steps with an output of their own, and model calls, that did not fail; what they hold is loaded."""
    exchanges, parents = run.exchanges, run.parents
    models = [span for span in run.spans if span.kind_number == LLM and span.status_number != ERROR]
    steps = [
        span
        for span, (_, output, _) in zip(run.spans, exchanges.values(), strict=True)
        if output is not None
        and span.kind_number not in _NOT_STEPS
        and span.status_number != ERROR
        and (span.kind_number in _CALLS or span.span_id not in parents)
    ]
    wanted = [exchanges[span.span_id].output for span in (*steps, *models)]
    run.load(wanted)
    return steps, models


def _stopped(run: Run) -> Iterator[Finding]:
    """Guardrails that let something not pass, and exceptions that were recorded on a span that ended well."""
    guards = [s for s in run.spans if s.kind_number == _GUARDRAIL and s.status_number != ERROR][-200:]
    run.load(run.exchanges[span.span_id].output for span in guards)
    for span in guards:
        output = run.exchanges[span.span_id].output
        if output is not None and stopped_it(run.own(output)):
            text = f"{called(span)} did not let it pass: {text_of(run.own(output), 120)}"
            yield _finding(run, "refused", 72, span, text)
    for span_id, name, _ in run.events():
        recorded = run.by_id.get(span_id)
        if name == "exception" and recorded is not None and recorded.status_number != ERROR:
            yield _finding(run, "error", 64, recorded, f"{called(recorded)} recorded an exception and went on")


def _of_loops(run: Run) -> Iterator[Finding]:
    """Loops that were ended: what the agent was doing again and again, or which limit it came to."""
    for span in run.spans:
        if span.kind_number != LOOP or _LOOP_STOPPED not in run.exchanges[span.span_id].body:
            continue
        attributes = run.attributes(span)
        why, reason = attributes.get(LOOP_STOPPED), attributes.get(LOOP_REASON)
        if isinstance(why, str) and isinstance(reason, str):
            score = 84 if why == "circle" else 66
            yield _finding(run, "loop", score, span, f"{called(span)} was ended: {text_of(reason, 200)}")


def _worth_a_look(answer: bytes) -> bool:
    return b"refus" in answer or b"rror" in answer[:400]


def _of_model(run: Run, span: SpanRow, raw: bytes) -> Iterator[Finding]:
    exchange = run.exchanges[span.span_id]
    stopped = reasons(run.attributes(span))
    if exchange.output is not None and (b"eason" in raw or b"refus" in raw):
        stopped += reasons(run.own(exchange.output))
    word = finish(stopped)
    why = ", ".join(dict.fromkeys(stopped))
    if word == "refused":
        yield _finding(run, "refused", 88, span, f"{called(span)} refused to answer (finish reason {why})")
    elif word == "cut off":
        yield _finding(run, "cut off", 84, span, f"{called(span)} was cut off (finish reason {why})")
    elif word == "context full":
        yield _finding(run, "context", 89, span, f"{called(span)} had its context full (finish reason {why})")
    elif word == "failed":
        yield _finding(run, "error", 83, span, f"{called(span)} ended badly (finish reason {why})")
    elif exchange.output is not None and b"rror" in raw[:400]:
        answer = run.own(exchange.output)
        said = said_error(answer, texts=False) if isinstance(answer, dict) else None
        if isinstance(answer, str) and len(answer) < 600 and answer.startswith(("Error:", "Error code:")):
            said = answer
        if said is not None:
            kind: Kind = "context" if is_overflow(said) else "error"
            yield _finding(run, kind, 82, span, f"{called(span)} gave an error as its answer: {said[:160]}")


def _stopped_badly(raw: bytes, known: dict[bytes, bool]) -> bool:
    """Whether what follows the last mention of a reason may be a bad one; most are not, and few are different."""
    at = raw.rfind(b"eason")
    if at < 0:
        return False
    reason = raw[at : at + 32]
    bad = known.get(reason)
    if bad is None:
        bad = known[reason] = _FINISH.search(reason) is not None
    return bad


def _results_given(run: Run, models: list[SpanRow], calls: list[Call]) -> Iterator[Finding]:
    """Tools that have no span of their own: their errors stand in what the next model call was given."""
    names = {call.id: call.name for call in calls if call.id is not None}
    groups: dict[tuple[str | None, str], list[tuple[SpanRow, str]]] = {}
    for span, result, answers in failed_results(run, models):
        said = said_error(result)
        if said is not None:
            name = names.get(answers) if answers is not None else None
            groups.setdefault((name, message(said)), []).append((span, said))
    for (name, _), errors in groups.items():
        (span, said), times = errors[0], len(errors)
        of = f"an error of {name}" if name else "a tool's error"
        often = f" {times} times" if times > 1 else ""
        words = _PREFIX.sub("", said[:160])
        score = 60 if times < _OFTEN else min(72 + times, 84)
        yield _finding(run, "error", score, span, f"{called(span)} was given {of}{often}: {words}")


def _of_step(run: Run, span: SpanRow, judged: dict[Key, tuple[str | None, str | None]]) -> Finding | None:
    output = run.exchanges[span.span_id].output
    assert output is not None
    if output not in judged:
        raw = run.raw(output)
        value = run.own(output)
        if value is None:
            judged[output] = (None, "None" if raw == b"\xc0" else None)
        else:
            # What a search gives are texts of others, which may well begin with the word.
            said = said_error(value, texts=span.kind_number != RETRIEVAL or isinstance(value, str))
            judged[output] = said, emptiness(value) if said is None and len(raw) <= _EMPTY_BYTES else None
    said, empty = judged[output]
    if said is not None:
        kind: Kind = "context" if is_overflow(said) else "error"
        text = f"{called(span)} answered with an error: {_PREFIX.sub('', said[:160])}"
        return _finding(run, kind, 78 if span.kind_number in (TOOL, RETRIEVAL) else 70, span, text)
    if empty is None:
        return None
    kind_number = span.kind_number
    if kind_number in (RETRIEVAL, _RERANK):
        score = 76
    elif kind_number == TOOL and empty not in ("None", "an empty text"):
        score = 66 if _SEARCHES.search(span.name) else 54
    elif _SEARCHES.search(span.name) and (kind_number == TOOL or empty not in ("None", "an empty text")):
        score = 62 if empty != "None" else 52
    else:
        return None
    return _finding(run, "empty", score, span, f"{called(span)} found nothing: {empty}")


def _softened(run: Run, finding: Finding, judged: dict[Key, tuple[str | None, str | None]]) -> Finding:
    """With what is known of later calls: what worked when it was tried again is no cause."""
    span = finding.span
    if span is None or finding.kind not in ("error", "empty") or span.kind_number == LLM:
        return finding

    def good(other: SpanRow) -> bool:
        output = run.exchange(other).output
        return other.status_number != ERROR and output is not None and judged.get(output, (None, None)) == (None, None)

    later, again = run.worked_later(span, good)
    if again:
        return finding._replace(score=45, text=finding.text + "; the same call worked later")
    return finding._replace(score=finding.score - 4) if later else finding


def _finding(run: Run, kind: Kind, score: int, span: SpanRow, text: str) -> Finding:
    return Finding(kind, score, span, tuple(s.name for s in run.path(span)), text)


def limits(run: Run) -> list[Finding]:
    """Limits that the run says it reached, and what it tried again."""
    found: list[Finding] = []
    for span_id, name, times in run.events():
        span = run.by_id.get(span_id)
        if span is None:
            continue
        often = f", {times} times" if times > 1 else ""
        if _LIMIT.search(name):
            found.append(_finding(run, "limit", 40, span, f"{called(span)} says: {name}{often}"))
        elif _RETRY.search(name):
            found.append(_finding(run, "limit", 30, span, f"{called(span)} tried again: {name}{often}"))
    return found[:3]


def growth(run: Run) -> tuple[int, int, SpanRow, SpanRow | None] | None:
    """Where the context grew most: tokens before and after, the model call, and the step with the largest output
    since the call before; None where no call says its tokens or it hardly grew."""
    calls = [span for span in run.spans if span.kind_number == LLM and span.input_tokens]
    best: tuple[int, SpanRow, SpanRow] | None = None
    for earlier, later in itertools.pairwise(calls):
        grown = (later.input_tokens or 0) - (earlier.input_tokens or 0)
        if best is None or grown > best[0]:
            best = grown, earlier, later
    if best is None or best[0] < 200 or best[0] * 5 < (best[2].input_tokens or 0):
        return None
    _, earlier, later = best
    between = [s for s in run.spans if earlier.start_ns <= s.start_ns < later.start_ns and not run.contains(s)]
    between = [s for s in between[:200] if run.exchange(s).output is not None]
    run.load([key for s in between if (key := run.exchange(s).output) is not None])
    source = max(between, key=lambda s: len(run.raw(run.exchange(s).output)), default=None)
    return earlier.input_tokens or 0, later.input_tokens or 0, later, source

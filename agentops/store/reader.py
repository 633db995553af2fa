"""All questions to the store, answered with typed rows. Nothing outside of agentops/store writes SQL."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Container, Iterator
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from agentops.conventions import KIND_NUMBER
from agentops.errors import NotFound, StoreDamaged, StoreError, StoreTooNew, UsageError
from agentops.journal.names import journals
from agentops.store.counting import COUNTED
from agentops.store.damage import identity
from agentops.store.filters import Filter, Term
from agentops.store.location import find_store, journal_folder
from agentops.store.rows import (
    STATUS,
    CallRow,
    Changes,
    Event,
    Hit,
    LossRow,
    ScoreRow,
    SpanDetail,
    SpanRow,
    TraceRow,
    checked,
)  # fmt: skip
from agentops.store.schema import connect, signed, translate
from agentops.usage import Usage

if TYPE_CHECKING:
    from agentops.store.contents import Contents
    from agentops.store.flow import Exchange, Key
    from agentops.store.plain_text import Phrase
    from agentops.store.stats import By, Stats

_T = TypeVar("_T")

__all__ = ["Reader"]

_TRACE = (
    "no, hex(trace_id), traces.name, kind, status, start_ns, end_ns, spans, errors, open, llm_calls, input_tokens, "
    "output_tokens, cost_usd, session, user, tags, unpriced"
)
_SPAN = (
    "span_id, parent_id, names.text, kind, status, start_ns, end_ns, models.text, input_tokens, output_tokens, "
    "cost_usd, error"
)
_SPANS = "spans JOIN names ON names.id = spans.name LEFT JOIN names AS models ON models.id = spans.model"

#: How many of the latest traces a first look at changes has.
_LATEST = 50
#: Keys that are the trace's in a list of spans too.
_OF_TRACE = ("session", "user", "tag", "trace", "score")


class Reader:
    """Asks one store. What running and dead programs have in their journals is brought in first.

    Args:
        store: path of the database file; the nearest store if None.
        ingest: False shows what the store holds at once and leaves journals to `refresh`.

    Raises:
        NotFound: there is no store, and no journal that could become one.
        StoreError: it cannot be read.
    """

    def __init__(self, store: str | None = None, ingest: bool = True) -> None:
        import os

        self.path = str(find_store(store))
        self._journals = journal_folder(self.path)
        if not os.path.exists(self.path) and not journals(self._journals):
            raise NotFound(
                f"there is no store at {self.path}: nothing was recorded here yet. Run this in the folder of your "
                "project, or say with AGENTOPS_STORE where the store is"
            )
        self._ingester: Any = None
        #: Why what waits in journals could not be brought in, if so: the store may be locked, or the disk full.
        self.behind: str | None = None
        if ingest:
            self.refresh(opening=True)
        self._connect()

    def _connect(self) -> None:
        self._which = identity(self.path)
        self._connection = connect(self.path)
        self._contents_: Contents | None = None

    def refresh(self, opening: bool = False) -> bool:
        """Bring in what was recorded since; True if there were journals to look at."""
        if not journals(self._journals):
            return False
        from agentops.store.ingest import Ingester  # with it comes the decoder: only if there is something

        try:
            if self._ingester is None:
                self._ingester = Ingester(self.path)
            self._ingester.run()
        except StoreError as problem:
            if self._ingester is not None:
                self._ingester.close()
                self._ingester = None
            if opening:
                if isinstance(problem, (StoreDamaged, StoreTooNew)) or not self._is_there():
                    raise
                self.behind = str(problem)
        else:
            self.behind = None
        if not opening and identity(self.path) not in (self._which, None):  # set aside or deleted, and begun anew
            self._connection.close()
            self._connect()
        return True

    def _is_there(self) -> bool:
        import os

        return os.path.exists(self.path)

    def close(self) -> None:
        """Let go of the store."""
        if self._ingester is not None:
            self._ingester.close()
        self._connection.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, sql: str, parameters: tuple[Any, ...] | list[Any] = ()) -> list[Any]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as problem:
            raise translate(problem, self.path) from problem

    # -- traces --------------------------------------------------------------------------------------

    def traces(
        self, filter: Filter | None = None, limit: int | None = 100, before: TraceRow | None = None, skip: int = 0
    ) -> list[TraceRow]:
        """Traces that `filter` selects, newest first.

        Args:
            filter: see `agentops.store.filters`; None selects all.
            limit: at most this many; None for all of them.
            before: only those that come after this one in the list.
            skip: leave out so many first; each of them takes time, so go on with `before` where you can.
        """
        found: list[TraceRow] = []
        for row in self._traces(filter or Filter(), before, limit, skip):
            if limit is not None and len(found) >= limit:
                break
            found.append(row)
        return found

    def iter_traces(self, filter: Filter | None = None, before: TraceRow | None = None) -> Iterator[TraceRow]:
        """As `traces`, one at a time."""
        return self._traces(filter or Filter(), before, None)

    def _traces(self, filter: Filter, before: TraceRow | None, limit: int | None, skip: int = 0) -> Iterator[TraceRow]:
        where, parameters = self._conditions(filter)
        if before is not None:
            where.append("(start_ns, no) < (?, ?)")
            parameters += [before.start_ns, before.no]
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        sql = f"SELECT {_TRACE} FROM traces{condition} ORDER BY start_ns DESC, no DESC"
        check = self._span_check(filter)
        if check is None and (limit is not None or skip):  # without it SQLite may sort the whole table first
            sql += f" LIMIT {-1 if limit is None else int(limit)} OFFSET {int(skip)}"
            skip = 0
        try:
            for row in self._connection.execute(sql, parameters):
                trace = _trace(row)
                if check is None or check(trace):
                    if skip:
                        skip -= 1
                        continue
                    yield trace
        except sqlite3.Error as problem:
            raise translate(problem, self.path) from problem

    def losses(self, limit: int = 100) -> list[LossRow]:
        """What programs could not record, the latest first."""
        rows = self._rows("SELECT time_ns, what, records, bytes FROM losses ORDER BY time_ns DESC LIMIT ?", (limit,))
        return list(map(LossRow._make, checked("losses", rows)))

    def count(self) -> int:
        """How many traces there are."""
        return int(self._rows("SELECT count(*) FROM traces")[0][0])

    def has(self, no: int) -> bool:
        """Whether the trace with this number is there: it may have been taken out since."""
        return bool(self._rows("SELECT 1 FROM traces WHERE no = ?", (no,)))

    def tally(self, since_ns: int) -> tuple[int, int, int]:
        """How many traces began since a time in ns since 1970, how many of them have errors, and were cut off."""
        counts = f"count(*), ifnull(sum(errors > 0), 0), ifnull(sum(status = {STATUS.index('interrupted')}), 0)"
        ((traces, errors, cut_off),) = self._rows(f"SELECT {counts} FROM traces WHERE start_ns >= ?", (since_ns,))
        return traces, errors, cut_off

    def trace(self, which: str) -> TraceRow:
        """One trace by its id, the beginning of one, or `latest`.

        Raises:
            NotFound: there is none.
            UsageError: several ids begin so.
        """
        if which == "latest":
            rows = self._rows(f"SELECT {_TRACE} FROM traces ORDER BY start_ns DESC, no DESC LIMIT 1")
            if not rows:
                raise NotFound(f"{self.path} holds no traces yet")
            return _trace(rows[0])
        which = which.lower()
        low, high = _id_range(which)
        rows = self._rows(f"SELECT {_TRACE} FROM traces WHERE trace_id BETWEEN ? AND ? LIMIT 3", (low, high))
        if not rows:
            raise NotFound(f"there is no trace {which!r} in {self.path}: `agentops ls` lists them")
        if len(rows) > 1:
            raise UsageError(f"several traces begin with {which!r}: give more of the id")
        return _trace(rows[0])

    def last_ns(self, trace: TraceRow) -> int | None:
        """The last sign of life of a run that was cut off, ns since 1970; None for others, which have an end or run."""
        if trace.status != "interrupted":
            return None
        ((started, ended),) = self._rows("SELECT max(start_ns), max(end_ns) FROM spans WHERE trace = ?", (trace.no,))
        ((told,),) = self._rows("SELECT max(time_ns) FROM events WHERE trace = ?", (trace.no,))
        return max(time for time in (trace.start_ns, started, ended, told) if type(time) is int)

    # -- spans ---------------------------------------------------------------------------------------

    def spans(self, trace: TraceRow, status: str | None = None) -> list[SpanRow]:
        """The skeleton of a trace, in the order of starting; `status` leaves only the spans that have it."""
        condition, parameters = ("", ()) if status is None else (" AND status = ?", (STATUS.index(status),))
        rows = self._rows(f"SELECT {_SPAN} FROM {_SPANS} WHERE trace = ?{condition}", (trace.no, *parameters))
        checked("spans", rows).sort(key=_start_of)
        return list(map(SpanRow._make, rows))

    def root(self, trace: TraceRow) -> SpanRow | None:
        """The span that a trace began with; None if it was not recorded here."""
        where = "WHERE trace = ? AND span_id = (SELECT root FROM traces WHERE no = ?)"
        rows = self._rows(f"SELECT {_SPAN} FROM {_SPANS} {where}", (trace.no, trace.no))
        return SpanRow._make(checked("spans", rows)[0]) if rows else None

    def span(self, trace: TraceRow, span_id: int | str) -> SpanDetail:
        """One span, whole.

        Raises:
            NotFound: the trace has no such span.
        """
        if isinstance(span_id, str):
            if not re.fullmatch("[0-9a-fA-F]{1,16}", span_id):
                raise UsageError(f"{span_id!r} is no span's id: 16 hex digits")
            span_id = signed(int(span_id, 16))
        for detail in self._details(trace, "AND span_id = ?", (span_id,)):
            return detail
        raise NotFound(f"trace {trace.trace_id} has no span {span_id!r}")

    def known_span(self, trace_id: str, span_id: str) -> SpanRow | None:
        """A span by both its ids, in full; None if the store does not have it."""
        rows = self._rows(
            f"SELECT {_SPAN} FROM {_SPANS} WHERE trace = (SELECT no FROM traces WHERE trace_id = ?) AND span_id = ?",
            (bytes.fromhex(trace_id), signed(int(span_id, 16))),
        )
        return SpanRow._make(checked("spans", rows)[0]) if rows else None

    def details(self, trace: TraceRow) -> Iterator[SpanDetail]:
        """All spans of a trace, whole, in the order of starting."""
        return self._details(trace, "", ())

    def _details(self, trace: TraceRow, where: str, parameters: tuple[Any, ...]) -> Iterator[SpanDetail]:
        from agentops.store.details import details

        try:
            yield from details(self._connection, self._contents, trace, where, parameters)
        except sqlite3.Error as problem:
            raise translate(problem, self.path) from problem

    # -- all of a trace at once ----------------------------------------------------------------------

    def flow(self, trace: TraceRow) -> tuple[list[SpanRow], dict[int, Exchange]]:
        """The skeleton as `spans` gives it, and what went in and out of each span, undecoded, in the same order."""
        from agentops.store.flow import exchanges

        rows = self._rows(
            f"SELECT {_SPAN}, input, output, iif(typeof(body) = 'blob', body, x'') FROM {_SPANS} WHERE trace = ? "
            "ORDER BY span_id",
            (trace.no,),
        )
        checked("spans", rows).sort(
            key=itemgetter(5)
        )  # the order of ids, which is that of the table, stays among those of one moment
        spans = [_tuple(SpanRow, row[:12]) for row in rows]
        return spans, exchanges(map(itemgetter(0, 12, 13, 14), rows))

    def raws(self, keys: list[Key]) -> dict[Key, tuple[int, bytes]]:
        """Form and encoded bytes of what stands in `keys` themselves, not in what they refer to."""
        from agentops.store.flow import raws

        return self._guarded(raws, self._connection, self._contents, keys)

    def value(self, key: Key) -> Any:
        """The whole value that an exchange's key means."""
        from agentops.store.flow import value

        return self._guarded(value, self._contents, key)

    def attributes(self, exchange: Exchange) -> dict[str, Any]:
        """The attributes of the span that an exchange is of."""
        from agentops.store.flow import attributes

        return self._guarded(attributes, self._contents, exchange.body)

    def event_names(self, trace: TraceRow, limit: int = 1000) -> list[tuple[int, str, int]]:
        """Span, name and number of the events of a trace, the first `limit` kinds of them."""
        rows = self._rows(
            "SELECT span_id, name, count(*) FROM events WHERE trace = ? GROUP BY span_id, name LIMIT ?",
            (trace.no, limit),
        )
        return checked("event names", rows)

    def events(self, trace: TraceRow, names: tuple[str, ...]) -> list[tuple[int, Event]]:
        """Span and event, of the events of a trace that have one of these names, in the order of time."""
        from agentops.store.details import named_events

        return self._guarded(named_events, self._connection, self._contents, trace, names)

    # -- the same in many traces ---------------------------------------------------------------------

    def failures(self, status: str, span_status: int, begins: str) -> list[tuple[int, int, int | None, str | None]]:
        """Trace's number, span, parent and error of spans that went badly, in traces that ended with `status`.

        Args:
            status: of the traces.
            span_status: of the spans, a number.
            begins: what their errors begin with.
        """
        rows = self._rows(
            "SELECT trace, span_id, parent_id, error FROM traces JOIN spans ON spans.trace = traces.no "
            "WHERE traces.status = ? AND (traces.errors > 0 OR traces.status != 1) AND spans.status = ? "
            "AND substr(ifnull(error, ''), 1, ?) = ?",
            (STATUS.index(status), span_status, len(begins), begins),
        )
        return checked("failures", rows)

    def path_names(self, trace: int, span_id: int) -> list[str]:
        """Names of the spans above one of trace number `trace`, the outermost first, and its own."""
        found: list[str] = []
        seen: set[int] = set()
        at: int | None = span_id
        while at is not None and at not in seen:
            seen.add(at)
            rows = self._rows(
                "SELECT parent_id, names.text FROM spans JOIN names ON names.id = spans.name "
                "WHERE trace = ? AND span_id = ?",
                (trace, at),
            )
            if not rows:
                break
            at = checked("names", rows)[0][0]
            found.append(rows[0][1])
        return found[::-1]

    def _guarded(self, ask: Callable[..., _T], *arguments: Any) -> _T:
        try:
            return ask(*arguments)
        except sqlite3.Error as problem:
            raise translate(problem, self.path) from problem

    def scores(self, trace: TraceRow) -> list[ScoreRow]:
        """Scores of a trace and of its spans, in the order of being given."""
        from agentops.store.details import scores_of

        return self._guarded(scores_of, self._connection, trace)

    def find_spans(self, filter: Filter, limit: int | None = 100) -> list[tuple[TraceRow, SpanRow]]:
        """Spans that `filter` selects, newest first; all keys are the span's."""
        from agentops.store.details import Texts

        found: list[tuple[TraceRow, SpanRow]] = []
        of_trace = Filter(tuple(t for t in filter.terms if t.key in _OF_TRACE))
        candidates = Filter((*of_trace.terms, *(t for t in filter.terms if t.key == "text" and not t.negated)))
        where, parameters = _span_conditions(filter)
        texts = [term for term in filter.terms if term.key == "text"]
        phrases = [(self._phrase(str(term.value)), term.negated) for term in texts]
        for trace in self.iter_traces(candidates):
            rows = self._rows(
                f"SELECT {_SPAN} FROM {_SPANS} WHERE trace = ? AND {where} ORDER BY start_ns DESC",
                (trace.no, *parameters),
            )
            if not checked("spans", rows):
                continue
            looked = Texts(self._connection, self._contents, trace) if texts else None
            for row in rows:
                if looked is None or all(looked.has(row[0], phrase) != negated for phrase, negated in phrases):
                    found.append((trace, SpanRow._make(row)))
                    if limit is not None and len(found) >= limit:
                        return found
        return found

    def search(self, text: str, limit: int = 20) -> list[Hit]:
        """Spans in which `text` stands, newest trace first; of a resent message, the first span that has it."""
        from agentops.store.details import Texts

        hits: list[Hit] = []
        phrase = self._phrase(text)
        for trace in self.iter_traces(Filter((Term("text", ":", text),))):
            spans = {span.span_id: span for span in self.spans(trace)}
            for span_id, where, snippet in Texts(self._connection, self._contents, trace).find(phrase, list(spans)):
                hits.append(Hit(trace, spans[span_id], where, snippet))
                if len(hits) >= limit:
                    return hits
        return hits

    def calls(self, trace: TraceRow) -> list[CallRow]:
        """What a trace's calls of models used and cost, in the order of time; those that repeat another's are there."""
        plain = self._rows(  # of which the span says all
            f"SELECT span_id, start_ns, input_tokens, output_tokens FROM spans WHERE trace = ? AND kind IN {COUNTED} "
            "AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL) AND NOT EXISTS "
            "(SELECT 1 FROM calls WHERE calls.trace = spans.trace AND calls.span_id = spans.span_id)",
            (trace.no,),
        )
        rows = self._rows(
            "SELECT span_id, houses.text, models.text, tier, start_ns, fresh_input, cache_read, cache_write_5m, "
            "cache_write_1h, audio_input, output, thinking, audio_output, web_searches, tool_requests, marks, cost, "
            "saved, source, entry, rates FROM calls LEFT JOIN names AS houses ON houses.id = provider "
            "LEFT JOIN names AS models ON models.id = calls.model LEFT JOIN prices ON prices.id = price "
            "WHERE trace = ? ORDER BY start_ns, span_id",
            (trace.no,),
        )
        found = [
            CallRow(
                format(row[0] & (2**64 - 1), "016x"), row[1], row[2], row[3], row[4], Usage._make(row[5:16]), row[16],
                None if row[18] is None else tuple(row[18:21]), row[17],
            )
            for row in checked("calls", rows)
        ]  # fmt: skip
        for span_id, start, given, output in checked("plain calls", plain):
            marks = (given is not None) + ((output is not None) << 10)
            usage = Usage(fresh_input=given, output=output, marks=marks)
            hex_id = format(span_id & (2**64 - 1), "016x")
            found.append(CallRow(hex_id, None, None, None, start, usage, None, None, None))
        return sorted(found, key=lambda call: call.time_ns) if plain else found

    def models(self) -> list[tuple[str | None, str | None, int, int]]:
        """Provider and model of all calls, how many there are, and how many of those are unpriced; most calls first."""
        rows = self._rows(
            "SELECT houses.text, models.text, count(*) AS many, sum(cost IS NULL) FROM calls "
            "LEFT JOIN names AS houses ON houses.id = provider LEFT JOIN names AS models ON models.id = calls.model "
            "GROUP BY provider, calls.model ORDER BY many DESC, models.text",
        )
        return [(row[0], row[1], row[2], row[3]) for row in checked("models", rows)]

    def stats(self, filter: Filter | None = None, by: By = "model") -> Stats:
        """Calls, errors, tokens, cost and durations of the spans that `filter` selects; all keys are the span's.

        Args:
            filter: as for `find_spans`; None selects all.
            by: what is counted together, see `agentops.store.stats`.
        """
        from agentops.store.stats import stats

        try:
            return stats(self._connection, by, *self._of_spans(filter or Filter()))
        except sqlite3.Error as problem:
            raise translate(problem, self.path) from problem

    def changes(self, since: Changes | None = None, of: Container[int] | None = None) -> Changes:
        """What came into the store since an earlier look; call `refresh` before, to bring in what waits.

        Nothing is left out and nothing is there twice, whoever brought it in: each batch of ingest notes the texts
        of the spans it wrote under a new number, per trace, and takes what ended or was cut off from the open ones.

        Args:
            since: what the look before gave; None for the first, which has the traces that run and the latest ones.
            of: numbers of the traces whose spans are wanted too, the others come without; None for all.
        """
        ((version,),) = self._rows("PRAGMA data_version")
        if since is not None and version == since.version:
            return since._replace(traces=())
        self._rows("BEGIN")
        try:
            ((mark, last, removals),) = self._rows(
                "SELECT (SELECT value FROM meta WHERE name = 'content'), (SELECT ifnull(max(no), 0) FROM traces), "
                "(SELECT value FROM meta WHERE name = 'removals')"
            )
            opened = frozenset(self._rows("SELECT DISTINCT trace, span_id FROM open_spans"))
            if since is None:
                touched = {trace for trace, _ in opened}
                latest = self._rows(f"SELECT no FROM traces ORDER BY start_ns DESC LIMIT {_LATEST}")
            else:
                touched = {trace for trace, _ in since.open - opened}
                latest = self._rows("SELECT DISTINCT trace FROM uses WHERE content > ?", (since.mark,))
            touched.update(trace for (trace,) in latest)
            traces = [
                _trace(row)
                for no in sorted(number for number in touched if type(number) is int)
                for row in self._rows(f"SELECT {_TRACE} FROM traces WHERE no = ?", (no,))
            ]
            spans = (self.spans(trace) if of is None or trace.no in of else [] for trace in traces)
            return Changes(mark, last, version, opened, removals, tuple(zip(traces, spans, strict=True)))
        finally:
            self._rows("COMMIT")

    # -- how filters become SQL ----------------------------------------------------------------------

    def _of_spans(self, filter: Filter) -> tuple[str, list[Any]]:
        """The condition on the table of spans that holds for what `find_spans` finds."""
        if any(term.key == "text" for term in filter.terms):  # SQL alone cannot tell
            self._connection.execute("DROP TABLE IF EXISTS temp.found")
            self._connection.execute("CREATE TEMP TABLE found (trace, span_id, PRIMARY KEY (trace, span_id))")
            keys = [(trace.no, span.span_id) for trace, span in self.find_spans(filter, None)]
            self._connection.executemany("INSERT INTO temp.found VALUES (?, ?)", keys)
            return "(trace, span_id) IN (SELECT trace, span_id FROM temp.found)", []
        where, parameters = _span_conditions(filter)
        of_trace, values = self._conditions(Filter(tuple(term for term in filter.terms if term.key in _OF_TRACE)))
        if of_trace:
            where = f"trace IN (SELECT no FROM traces WHERE {' AND '.join(of_trace)}) AND {where}"
        return where, values + parameters

    def _conditions(self, filter: Filter) -> tuple[list[str], list[Any]]:
        where: list[str] = []
        parameters: list[Any] = []
        together: list[str] = []
        together_parameters: list[Any] = []
        for term in filter.terms:
            if term.key == "text":
                continue
            if term.of_span:
                condition, values = _span_condition(term)
                if term.negated:
                    where.append(f"NOT EXISTS (SELECT 1 FROM spans WHERE trace = traces.no AND {condition})")
                    parameters += values
                else:
                    together.append(condition)
                    together_parameters += values
                continue
            if term.key in ("session", "user"):
                values = self._recorded_as(str(term.value))
                condition = f"{term.key} IN ({', '.join('?' * len(values))})"
            else:
                condition, values = _trace_condition(term)
            where.append(f"NOT ifnull({condition}, 0)" if term.negated else condition)
            parameters += values
        if together:
            where.append(f"EXISTS (SELECT 1 FROM spans WHERE trace = traces.no AND {' AND '.join(together)})")
            parameters += together_parameters
        for word in filter.words:
            from agentops.store.words import matching

            query = self._word_query(word)
            found, times = matching(self._connection, "content")
            where.append(f"no IN (SELECT trace FROM uses WHERE {found})")
            parameters += [query] * times
        return where, parameters

    def _recorded_as(self, name: str) -> list[Any]:
        """What a session or user may be called here: redaction makes hashes of some."""
        import os

        from agentops.redaction.redactor import recorded_as

        return [*recorded_as(name, os.path.dirname(os.path.abspath(self.path)))]

    def _span_check(self, filter: Filter) -> Any:
        """What SQL cannot tell: whether phrases, or several things about a span, hold together on one."""
        texts = [term for term in filter.terms if term.key == "text"]
        if not texts:
            return None  # before an import that takes a quarter of what a bare listing does
        from agentops.store.plain_text import normal

        of_span = [term for term in filter.terms if term.of_span and not term.negated and term.key != "text"]
        simple = len(texts) == 1 and not of_span and not texts[0].negated
        if simple and len(normal(str(texts[0].value)).split()) == 1:
            return None
        from agentops.store.details import Texts

        where, parameters = _span_conditions(Filter(tuple(of_span)))
        wanted = [self._phrase(str(term.value)) for term in texts if not term.negated]
        unwanted = [self._phrase(str(term.value)) for term in texts if term.negated]

        def check(trace: TraceRow) -> bool:
            spans = [
                row[0]
                for row in self._rows(f"SELECT span_id FROM spans WHERE trace = ? AND {where}", (trace.no, *parameters))
            ]
            looked = Texts(self._connection, self._contents, trace)
            every = [row[0] for row in self._rows("SELECT span_id FROM spans WHERE trace = ?", (trace.no,))]
            if any(looked.has(span, phrase) for phrase in unwanted for span in every):
                return False
            return any(all(looked.has(span, phrase) for phrase in wanted) for span in spans)

        return check

    def _phrase(self, text: str) -> Phrase:
        from agentops.store.plain_text import Phrase

        return Phrase(text, inside=self._inside(text))

    def _inside(self, text: str) -> bool:
        """Whether the one word of `text` is in the index only as a part of longer words."""
        from agentops.store.plain_text import query

        self._index()
        match = query(text)
        if match is None:
            raise UsageError(f"there is no word in {text!r} that could be looked for")
        if " " in match:
            return False
        from agentops.store.words import stands

        return not self._guarded(stands, self._connection, match)

    def _word_query(self, text: str) -> str:
        """An FTS query for `text`: the word itself, or where nobody wrote it, longer ones that hold it."""
        from agentops.store.plain_text import query

        inside = self._inside(text)
        match = str(query(text))
        if not inside or len(match) < 5:  # a part of at least three letters, in quotes
            return match
        from agentops.store.words import vocabularies

        terms = vocabularies(self._connection)
        longer = self._rows(f"SELECT term FROM ({terms}) WHERE instr(term, ?) LIMIT 200", (match.strip('"').lower(),))
        return " OR ".join('"' + term.replace('"', '""') + '"' for (term,) in longer) or match

    def _index(self) -> None:
        """Words that came in since are indexed before anything is looked for."""
        waiting = self._rows(
            "SELECT EXISTS (SELECT 1 FROM fresh WHERE NOT indexed) OR EXISTS (SELECT 1 FROM fresh_text)"
        )
        if waiting[0][0]:
            from agentops.store.packing import index_words

            try:
                index_words(self._connection)
            except sqlite3.Error as problem:
                if "readonly" not in str(problem):
                    raise translate(problem, self.path) from problem

    @property
    def _contents(self) -> Contents:
        if self._contents_ is None:
            from agentops.store.contents import Contents

            self._contents_ = Contents(self._connection)
        return self._contents_


_tuple = tuple.__new__  # a named tuple from a tuple, without the call of a method for each of 10,000


def _start_of(row: tuple[Any, ...]) -> tuple[int, int]:
    return row[5], row[0]


def _trace(row: tuple[Any, ...]) -> TraceRow:
    checked("traces", [row])
    return TraceRow(row[0], row[1].lower(), *row[2:])


def _id_range(prefix: str) -> tuple[bytes, bytes]:
    try:
        if not 0 < len(prefix) <= 32:
            raise ValueError
        return bytes.fromhex(prefix.ljust(32, "0")), bytes.fromhex(prefix.ljust(32, "f"))
    except ValueError:
        raise UsageError(f"{prefix!r} is no trace's id, no beginning of one and not `latest`") from None


_COLUMNS = {"cost": "cost_usd", "took": "(end_ns - start_ns)", "tokens": "(input_tokens + output_tokens)"}


def _trace_condition(term: Term) -> tuple[str, list[Any]]:
    key, value = term.key, term.value
    if key in ("cost", "took", "tokens", "spans", "errors"):
        return f"{_COLUMNS.get(key, key)} {term.operator} ?", [value]
    if key in ("since", "until"):
        return f"start_ns {'>=' if key == 'since' else '<'} ?", [int(value)]
    if key == "status":
        return "status = ?", [STATUS.index(str(value))]
    if key == "trace":
        return "trace_id BETWEEN ? AND ?", list(_id_range(str(value)))
    if key == "tag":
        return "EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)", [value]
    compare = "" if term.operator == ":" else f" AND number {term.operator} ?"  # of a score
    values = [term.name] if term.operator == ":" else [term.name, value]
    return f"trace_id IN (SELECT trace_id FROM scores WHERE name = ?{compare})", values


def _span_condition(term: Term) -> tuple[str, list[Any]]:
    if term.key == "kind":
        return "spans.kind = ?", [KIND_NUMBER[str(term.value)]]
    pattern = "%" + str(term.value).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return f"spans.{term.key} IN (SELECT id FROM names WHERE text LIKE ? ESCAPE '\\')", [pattern]


def _span_conditions(filter: Filter) -> tuple[str, list[Any]]:
    """Conditions on spans alone: for lists of spans, where all keys are the span's."""
    where: list[str] = []
    parameters: list[Any] = []
    for term in filter.terms:
        if term.key in ("kind", "name", "model"):
            condition, values = _span_condition(term)
        elif term.key in ("cost", "took", "tokens"):
            column = _COLUMNS[term.key].replace("end_ns", "spans.end_ns")
            condition, values = f"{column} {term.operator} ?", [term.value]
        elif term.key in ("since", "until"):
            condition, values = f"start_ns {'>=' if term.key == 'since' else '<'} ?", [int(term.value)]
        elif term.key == "status":
            condition, values = "status = ?", [STATUS.index(str(term.value))]
        elif term.key == "errors":
            condition, values = f"(status = 2) {term.operator} ?", [term.value]
        elif term.key == "spans":
            raise UsageError("spans> and spans< count a trace's spans: leave out --spans")
        else:
            continue
        where.append(f"NOT ifnull({condition}, 0)" if term.negated else condition)
        parameters += values
    return " AND ".join(where) or "1", parameters

"""The store's tables as SQLModel classes, for notebooks and for writing of which there is little.

    from sqlmodel import select
    from agentops.store.models import Trace, open_session

    with open_session() as session:
        failed = session.exec(select(Trace).where(Trace.errors > 0)).all()

What holds in all tables:

- times are in ns since 1970 (UTC): `pandas.to_datetime(trace.start_ns)` takes them as they are;
- a span's id is a signed 64-bit number, as SQLite has it; `hex_id` is what OpenTelemetry and
  `agentops show` call it;
- `kind` and `status` are numbers: places in `agentops.conventions.KINDS` and in `STATUS` below; the
  properties `kind_name` and `status_name` say the word;
- `trace` in any table is `traces.no`, not the trace's id;
- a BLOB named `body`, `metadata` or `data` is msgpack of ours and made for machines. For input, output and
  attributes of a span ask `agentops.store.reader.Reader`, which follows contents to where they are.

Install with `agentops-recorder[schema]`. Nothing else in agentops imports this module, since importing
SQLModel takes longer than recording and listing together; `agentops.store.schema` has the same tables as
plain SQL, and tests/house/test_models.py holds the two together.
"""

from __future__ import annotations

import sqlite3
import urllib.parse
from typing import ClassVar

from agentops.conventions import KINDS
from agentops.store.reader import Reader
from agentops.store.rows import STATUS

try:
    from sqlalchemy import Column, Float, Index, LargeBinary, MetaData, Text, create_engine, text
    from sqlalchemy.orm import registry
    from sqlalchemy.pool import NullPool
    from sqlmodel import Field, Session, SQLModel
except ModuleNotFoundError as problem:
    raise ModuleNotFoundError(
        "agentops.store.models needs SQLModel: pip install 'agentops-recorder[schema]'", name=problem.name
    ) from problem

__all__ = [
    "STATUS",
    "Block",
    "Call",
    "Content",
    "Event",
    "Fresh",
    "FreshText",
    "Instruction",
    "Journal",
    "Keep",
    "Loss",
    "Meta",
    "Name",
    "OpenSpan",
    "Orphan",
    "Part",
    "Price",
    "Score",
    "Span",
    "Trace",
    "Use",
    "open_session",
]

_WITHOUT_ROWID = {"sqlite_with_rowid": False}


# A registry of its own: `SQLModel.metadata.create_all()` in a user's program must not make our tables, and
# a `traces` of theirs must not clash with ours.
class _Table(SQLModel, registry=registry()):
    metadata: ClassVar[MetaData] = MetaData()


class _Step(_Table):
    """What traces and spans have in common."""

    kind: int
    status: int
    start_ns: int
    end_ns: int | None = None

    @property
    def kind_name(self) -> str:
        """The kind as a word, such as `llm`."""
        return KINDS[self.kind] if 0 <= self.kind < len(KINDS) else "chain"

    @property
    def status_name(self) -> str:
        """`running`, `ok`, `error` or `interrupted` (its process died)."""
        return STATUS[self.status]

    @property
    def duration_ns(self) -> int | None:
        """From start to end in ns; None while it runs and where it was interrupted."""
        return None if self.end_ns is None else self.end_ns - self.start_ns


class Trace(_Step, table=True):
    """One run: what all its spans come to, kept up as they come in.

    no: the trace's number in this store; other tables refer to it.
    trace_id: OpenTelemetry's id, 16 bytes; `hex_id` has it as text.
    root: `span_id` of the first span without a parent; name, kind, status, start and end are that span's.
    kind, status: numbers, see the top of this module.
    start_ns, end_ns: ns since 1970; the end is NULL while it runs and where it was interrupted.
    spans, errors, open, llm_calls: how many spans there are, how many failed, have not ended, are model calls.
    input_tokens, output_tokens: sums over model and embedding calls.
    cost_usd: US dollars; NULL where it is not known. unpriced: calls that are not in it, as their price is not known.
    session, user: what the root was given.
    tags: a JSON list of texts. metadata_: column `metadata`, msgpack.
    """

    __tablename__ = "traces"
    __table_args__ = (
        Index("traces_start", "start_ns"),
        Index("traces_status", "status", "start_ns", sqlite_where=text("status != 1")),
        Index("traces_errors", "start_ns", sqlite_where=text("errors > 0")),
        Index("traces_session", "session", "start_ns", sqlite_where=text("session IS NOT NULL")),
        Index("traces_user", "user", "start_ns", sqlite_where=text("user IS NOT NULL")),
    )

    no: int | None = Field(default=None, primary_key=True, nullable=True)
    trace_id: bytes = Field(sa_type=LargeBinary, unique=True)
    root: int | None = None
    name: str = Field(sa_type=Text)
    kind: int
    status: int
    start_ns: int
    end_ns: int | None = None
    spans: int
    errors: int
    open: int
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = Field(default=None, sa_type=Float)
    session: str | None = Field(default=None, sa_type=Text)
    user: str | None = Field(default=None, sa_type=Text)
    tags: str | None = Field(default=None, sa_type=Text)
    # SQLModel needs the name `metadata` for itself.
    metadata_: bytes | None = Field(default=None, sa_column=Column("metadata", LargeBinary))
    unpriced: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})

    @property
    def hex_id(self) -> str:
        """The trace's id as 32 hex digits."""
        return self.trace_id.hex()


class Span(_Step, table=True):
    """One step of a trace.

    trace, span_id: the trace's number, and the span's id within it (signed).
    parent_id: `span_id` of the span above; NULL at the top.
    name, model: ids in `names`: `select(Span, Name).join(Name, Name.id == Span.name)`.
    kind, status: numbers, see the top of this module.
    start_ns, end_ns: ns since 1970; the end is NULL while it runs and where it was interrupted.
    input, output: ids of contents; NULL where there is none, or where it is small and stands in `body`.
    input_tokens, output_tokens: as the provider counted them; NULL if it did not say.
    cost_usd: US dollars; NULL where it is not known.
    error: the exception's type and message, shortened; '' for an error without words; NULL without an error.
    body: msgpack of what no list shows: attributes, small input and output, traceback, links, session.
    """

    __tablename__ = "spans"
    __table_args__ = _WITHOUT_ROWID

    trace: int = Field(primary_key=True)
    span_id: int = Field(primary_key=True)
    parent_id: int | None = None
    name: int
    kind: int
    status: int
    start_ns: int
    end_ns: int | None = None
    input: int | None = None
    output: int | None = None
    model: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = Field(default=None, sa_type=Float)
    error: str | None = Field(default=None, sa_type=Text)
    body: bytes | None = Field(default=None, sa_type=LargeBinary)

    @property
    def hex_id(self) -> str:
        """The span's id as 16 hex digits."""
        return format(self.span_id & (2**64 - 1), "016x")


class Call(_Table, table=True):
    """What one call of a model used and cost: a span of kind `llm` or `embedding` of which something of it is known.

    Where that is two sums of tokens and no model, the span's row says all, and there is none here.


    trace, span_id: the span.
    kind: a number, see the top of this module. provider, model: ids in `names`; the model that answered.
    start_ns: ns since 1970. tier: `batch`, `fast` or another than the standard one; NULL for that.
    fresh_input, cache_read, cache_write_5m, cache_write_1h, audio_input: tokens of input, each in one of them.
    output, thinking, audio_output: tokens of output, each in one of them.
    web_searches, tool_requests: requests of tools that the provider runs: searches, and others. All are NULL where
        nobody said how many.
    marks: two bits for each of these ten, the first lowest: 0 missing, 1 reported, 2 estimated.
    cost: pico-dollars (10^-12 US dollars); NULL if it is unpriced.
    price: `prices.id` of what it was computed by; NULL where somebody else said the cost, or it has none.
    saved: pico-dollars that it would have cost, where it was answered from a cache of the program's own.
    """

    __tablename__ = "calls"
    __table_args__ = _WITHOUT_ROWID

    trace: int = Field(primary_key=True)
    span_id: int = Field(primary_key=True)
    kind: int
    provider: int | None = None
    model: int | None = None
    start_ns: int
    tier: str | None = Field(default=None, sa_type=Text)
    fresh_input: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    audio_input: int | None = None
    output: int | None = None
    thinking: int | None = None
    audio_output: int | None = None
    web_searches: int | None = None
    tool_requests: int | None = None
    marks: int
    cost: int | None = None
    price: int | None = None
    saved: int | None = None


class Price(_Table, table=True):
    """Prices that held for calls.

    source: whose list: `genai-prices` and its version, the path of an `agentops.toml`, `init()`, or `price()`.
    entry: which entry of it, and the tier.
    rates: US dollars for a million tokens, as `agentops.prices.RATES` orders them; `-` where there is none.
    """

    __tablename__ = "prices"
    __table_args__ = (Index("prices_entry", "source", "entry", "rates", unique=True),)

    id: int | None = Field(default=None, primary_key=True, nullable=True)
    source: str = Field(sa_type=Text)
    entry: str = Field(sa_type=Text)
    rates: str = Field(sa_type=Text)


class Event(_Table, table=True):
    """Something that happened on a span at one moment.

    trace, span_id: the span. time_ns: ns since 1970. n: tells events of one moment apart.
    name: what happened. body: msgpack of its attributes, contents as references.
    """

    __tablename__ = "events"
    __table_args__ = _WITHOUT_ROWID

    trace: int = Field(primary_key=True)
    span_id: int = Field(primary_key=True)
    time_ns: int = Field(primary_key=True)
    n: int = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    body: bytes | None = Field(default=None, sa_type=LargeBinary)


class Score(_Table, table=True):
    """A judgement about a trace, or about one span of it.

    trace_id: the trace's id, 16 bytes: a score may come before its trace.
    span_id: the span's id (signed); NULL for the whole trace.
    name: what is judged. number or label: the value (true is 1, false is 0); the other one is NULL.
    comment: why. time_ns: when it was given, ns since 1970.
    """

    __tablename__ = "scores"
    __table_args__ = (Index("scores_trace", "trace_id"),)

    id: int | None = Field(default=None, primary_key=True, nullable=True)
    trace_id: bytes = Field(sa_type=LargeBinary)
    span_id: int | None = None
    name: str = Field(sa_type=Text)
    number: float | None = Field(default=None, sa_type=Float)
    label: str | None = Field(default=None, sa_type=Text)
    comment: str | None = Field(default=None, sa_type=Text)
    time_ns: int


class Name(_Table, table=True):
    """A span's name or a model's, once: few are different, and spans are many."""

    __tablename__ = "names"

    id: int | None = Field(default=None, primary_key=True, nullable=True)
    text: str = Field(sa_type=Text, unique=True)


class Content(_Table, table=True):
    """Where to look whether a content is in the store already.

    key: 48 bits of a hash of its bytes; a guess that is checked. id: the content, in `fresh` or `blocks`.
    """

    __tablename__ = "contents"
    __table_args__ = _WITHOUT_ROWID

    key: int = Field(primary_key=True)
    id: int = Field(primary_key=True)


class Fresh(_Table, table=True):
    """A content as it came, until there are enough of them to be compressed together.

    id: the content. form: 0 a value, 1 a value that refers to other contents, 2 a list that goes on from
    another one. data: msgpack. indexed: 1 once its words are in the index, 2 while the journal still has to bring it.
    """

    __tablename__ = "fresh"

    id: int | None = Field(default=None, primary_key=True, nullable=True)
    form: int
    data: bytes = Field(sa_type=LargeBinary)
    indexed: int


class Block(_Table, table=True):
    """Contents compressed together.

    first, last: the lowest and the highest id in it. data: zstandard over msgpack of [id, form, data].
    """

    __tablename__ = "blocks"

    first: int | None = Field(default=None, primary_key=True, nullable=True)
    last: int
    data: bytes = Field(sa_type=LargeBinary)


class Use(_Table, table=True):
    """Which trace uses which content: for searching, and for knowing what no trace needs any more."""

    __tablename__ = "uses"
    __table_args__ = (Index("uses_trace", "trace"), _WITHOUT_ROWID)

    content: int = Field(primary_key=True)
    trace: int = Field(primary_key=True)


class Keep(_Table, table=True):
    """Which trace needs which content without being found by its words: instructions again, lists of contents."""

    __tablename__ = "keeps"
    __table_args__ = (Index("keeps_trace", "trace"), _WITHOUT_ROWID)

    content: int = Field(primary_key=True)
    trace: int = Field(primary_key=True)


class Orphan(_Table, table=True):
    """A content that no trace needs, but a journal that is still written may: it goes when that one is done."""

    __tablename__ = "orphans"

    content: int | None = Field(default=None, primary_key=True, nullable=True)


class Part(_Table, table=True):
    """A part of the index of words, the table `words_<part>`: contents of 65,536 ids. documents: how many it has."""

    __tablename__ = "parts"

    part: int | None = Field(default=None, primary_key=True, nullable=True)
    documents: int


class Instruction(_Table, table=True):
    """A content that is the instructions (system prompt) of model calls.

    Every call repeats them, so `uses` has each only with the trace that it was new in: a search finds that
    trace, not all of them. content: the content's id.
    """

    __tablename__ = "instructions"

    content: int | None = Field(default=None, primary_key=True, nullable=True)


class FreshText(_Table, table=True):
    """Names and small values of a trace, kept until their words are in the index."""

    __tablename__ = "fresh_text"

    id: int | None = Field(default=None, primary_key=True, nullable=True)
    text: str = Field(sa_type=Text)


class Journal(_Table, table=True):
    """How far the journal of one process has been read into this store.

    name: the journal's file. position: bytes read. contents: 64-bit ids of its contents, by their number
    in the journal. rotated: 1 if the process went on in another file. done: 1 if all of it is here.
    """

    __tablename__ = "journals"
    __table_args__ = _WITHOUT_ROWID

    name: str = Field(sa_type=Text, primary_key=True)
    position: int
    contents: bytes = Field(sa_type=LargeBinary)
    rotated: int
    done: int


class Loss(_Table, table=True):
    """Records that a program could not write, noted when it could write again.

    time_ns: when the first of them was lost, ns since 1970. what: which kind of record, and why.
    records, bytes: how many, and how long they were together.
    """

    __tablename__ = "losses"

    id: int | None = Field(default=None, primary_key=True, nullable=True)
    time_ns: int
    what: str = Field(sa_type=Text)
    records: int
    bytes: int


class Target(_Table, table=True):
    """Where spans are exported to, and what has come of it.

    name: the target's URL without credentials and query, or the name that a program gave it. redactor: the function
    that spans for it have to pass, empty for none. sent, again, refused, withheld, sampled_out, removed: how many spans
    were sent, perhaps a second time, not taken by the target, not redacted because the function failed, left out by
    sampling, and taken out of the store before. sent_ns, failed_ns: when one was last, ns since 1970. failure: why.
    """

    __tablename__ = "targets"
    __table_args__ = (Index("targets_name", "name", "redactor", unique=True),)

    id: int | None = Field(default=None, primary_key=True, nullable=True)
    name: str = Field(sa_type=Text)
    redactor: str = Field(sa_type=Text)
    sent: int
    again: int
    refused: int
    withheld: int
    sampled_out: int
    removed: int
    sent_ns: int | None
    failed_ns: int | None
    failure: str | None = Field(sa_type=Text)


class Outgoing(_Table, table=True):
    """A span that has ended and waits to be sent to a target; under_way: 1 while nobody knows whether it arrived."""

    __tablename__ = "outbox"
    __table_args__ = (Index("outbox_target", "target"),)

    n: int | None = Field(default=None, primary_key=True, nullable=True)
    target: int
    trace: int
    span_id: int
    under_way: int


class Exporting(_Table, table=True):
    """A journal of a program whose spans are exported to a target."""

    __tablename__ = "exporting"
    __table_args__ = _WITHOUT_ROWID

    journal: str = Field(sa_type=Text, primary_key=True)
    target: int = Field(primary_key=True)


class OpenSpan(_Table, table=True):
    """A span that a process has not ended yet: if the process dies, the span was interrupted.

    process: the random number that all journals of the process carry.
    """

    __tablename__ = "open_spans"
    __table_args__ = _WITHOUT_ROWID

    process: int = Field(primary_key=True)
    trace: int = Field(primary_key=True)
    span_id: int = Field(primary_key=True)


class Meta(_Table, table=True):
    """Numbers about the store itself.

    `content` is the last id that a content was given, `trace` a number that is not given again, `removals` how often
    traces were taken out, `max_bytes` and `max_age_ns` the bounds that a program has set.
    """

    __tablename__ = "meta"
    __table_args__ = _WITHOUT_ROWID

    name: str = Field(sa_type=Text, primary_key=True)
    value: int


def open_session(path: str | None = None) -> Session:
    """A session on a store, for reading: use it in a `with` statement.

    What programs have recorded and is not in the store yet is brought in first, as every reader does;
    after that nothing can be written through the session. For writing see `agentops.score`.

    Args:
        path: the database file; the nearest store if None, the one that `agentops ls` lists.

    Raises:
        NotFound: nothing was recorded there yet.
        StoreError: it cannot be read.
    """
    with Reader(path) as reader:
        address = f"file:{urllib.parse.quote(reader.path)}?mode=ro"
    # The class is called, not `sqlite3.connect`, which instrumentation replaces; and no pool, so that the
    # file is closed with the session.
    engine = create_engine("sqlite://", creator=lambda: sqlite3.Connection(address, uri=True), poolclass=NullPool)
    return Session(engine)

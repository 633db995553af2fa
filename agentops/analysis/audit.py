"""Looks through every byte of stores, journals, exports and whatever lies beside them for what must not be there.

What can be opened is: rows and compressed contents of a store, records of journals, lines of JSON. Of everything else,
and of what was deleted, the texts among the bytes are looked at. Canaries are looked for in all bytes besides.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import zstandard

from agentops.errors import NotFound, StoreError
from agentops.journal.format import MAGIC, Record, Start
from agentops.journal.names import journals
from agentops.journal.reading import read, writer_is_alive
from agentops.store.damage import APPLICATION_ID
from agentops.store.location import FOLDER, journal_folder
from agentops.store.pieces import Piece, Pieces, encoded, facts, own, scope
from agentops.store.remains import APPLICATION_ID_AT, is_database, remains

if TYPE_CHECKING:
    from agentops.redaction.looking import Found, Look

__all__ = ["CANARY", "CLOSED", "Audit", "Finding", "files_of", "is_held", "is_store", "walk"]

CANARY = "CANARY"
#: The kind of what cannot be opened: nobody can tell what is in it.
CLOSED = "UNREADABLE"
#: As many are told apart; all are counted.
_TOLD_MAX = 100_000
#: Where something is in a store of what was deleted: SQLite frees it, and writes over it some day.
_DELETED = "deleted, and still in the file"
_CHUNK_BYTES = 1 << 20
_LINE_MAX = 64 << 20
_OVERLAP = 1 << 10
_FRAME = b"\x28\xb5\x2f\xfd"
_OPENED_MAX = 64 << 20
_IS_HEX = re.compile("[0-9a-f]{8}")
_BLOCK = msgspec.msgpack.Decoder(list[tuple[int, int, bytes]])
_RECORD_PLACES = {"value": "output", "input_value": "input"}


class Finding(NamedTuple):
    """What was found in one place of a file: the kind, how often, and how one of it may be shown."""

    file: str
    place: str
    kind: str
    times: int
    shown: str


class Audit:
    """Collects what is found.

    Args:
        look: finds, and says how it may be shown.
        progress: is told every now and then how many bytes were looked through.
    """

    def __init__(self, look: Look, progress: Callable[[int], None] | None = None) -> None:
        self._look = look
        self._progress = progress or (lambda read: None)
        self._found: dict[tuple[str, str, str, str], list[Any]] = {}
        self.kinds: Counter[str] = Counter()
        #: Whether there are more places than are told.
        self.more = False
        self.files = self.bytes = 0

    @property
    def findings(self) -> list[Finding]:
        """All of them, in the order of files and places."""
        return [Finding(*where[:3], *what) for where, what in self._found.items()]

    def file(self, path: str) -> None:
        """Look through one file, whatever it is; a link is not followed.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:  # a journal that was brought in meanwhile
            return
        except OSError as problem:
            if os.path.islink(path):
                return
            raise StoreError(f"{path} cannot be read: {problem.strerror}") from problem
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return
            self.files += 1
            self._progress(self.bytes)
            head = os.pread(descriptor, 100, 0)
            if is_database(head):
                os.close(descriptor)
                descriptor = -1
                self._database(path, head)
                return
            text = not head.startswith(MAGIC) and _is_text(descriptor)
            self._in_bytes(path, descriptor, lines=text)
            if head.startswith(MAGIC):
                self._journal(path, descriptor)
            elif text:
                self._lines(path, descriptor)
            else:
                self._in_raw(path, "bytes", _chunks(descriptor))
        except OSError as problem:
            raise StoreError(f"{path} cannot be read: {problem.strerror}") from problem
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    # -- stores --------------------------------------------------------------------------------------

    def _database(self, path: str, head: bytes) -> None:
        whole = False
        if is_store(head):
            try:
                self._rows(path)
                whole = True
            except StoreError as problem:
                self._note(path, self._look.clean(str(problem)), CLOSED, "")
        with open(path, "rb") as file:  # after SQLite has let go of it: it may have written its log into it
            self._in_bytes(path, file.fileno())
            left = remains(file.fileno()) if whole else _chunks(file.fileno())
            self._in_raw(path, _DELETED if whole else "bytes", left)

    def _rows(self, path: str) -> None:
        pieces = Pieces(path, self._look.clean)
        try:
            for piece in pieces:
                self._progress(self.bytes)
                self._piece(path, piece)
            if pieces.closed:
                self._note(path, f"{pieces.closed} blocks of contents", CLOSED, "")
            for canary in self._look.canaries:
                if times := pieces.indexed(canary.text):
                    shown = f"canary {canary.number}, its words"
                    self._note(path, "the index of words", CANARY, shown, times)
        finally:
            pieces.close()

    def _piece(self, path: str, piece: Piece) -> None:
        if self._look.may_hold(piece.data):
            for place, value, key in piece.parts():
                self._value(path, place, value, key)

    def _value(self, path: str, place: str, value: Any, key: str | None = None) -> None:
        if value is None:
            return
        self._all(path, place, self._look.found(value, key))
        if self._look.canaries:
            data = value.encode("utf-8", "surrogatepass") if type(value) is str else encoded(value)
            self._all(path, place, self._look.hidden(data))

    # -- journals ------------------------------------------------------------------------------------

    def _journal(self, path: str, descriptor: int) -> None:
        at = len(MAGIC)
        skipped: list[tuple[int, int]] = []
        for end, record in read(descriptor, 0):
            self._progress(self.bytes)
            if record is None:
                skipped.append((at, end))
            elif self._look.may_hold(encoded(record)):
                self._record(path, self._recorded(record), record)
            at = end
        skipped.append((at, os.fstat(descriptor).st_size))
        for begin, end in skipped:
            self._in_raw(path, "a part that cannot be read", _chunks(descriptor, begin, end))

    def _recorded(self, record: Record) -> str:
        trace = getattr(record, "trace_id", b"")
        name = self._look.clean(record.name) if isinstance(record, Start) and type(record.name) is str else ""
        place = f'span "{name}"' if name else "a record"
        return f"{place} of trace {trace.hex()[:8]}" if trace else place

    def _record(self, path: str, place: str, record: Record) -> None:
        fields = msgspec.structs.asdict(record)
        for content in fields.pop("contents", None) or ():
            self._value(path, f"{place}: a content", own(content.form, content.data))
        for fact, key in facts(fields.pop("attributes", None)):
            self._value(path, f"{place}: attributes", fact, key)
        for where, value in scope(fields.pop("scope", None)):
            self._value(path, f"{place}: {self._look.clean(where)}", value)
        for link in fields.pop("links", None) or ():
            self._value(path, f"{place}: links", link[2])
        places = {"value": "input"} if isinstance(record, Start) else _RECORD_PLACES
        for name, value in fields.items():
            if not name.endswith("_id") and name != "time_ns":
                self._value(path, f"{place}: {places.get(name, name)}", value)

    # -- texts and anything else ---------------------------------------------------------------------

    def _lines(self, path: str, descriptor: int) -> None:
        """A text, line by line; each may be JSON, and that a span of an export."""
        number, rest = 0, b""
        with open(os.dup(descriptor), "rb") as file:
            file.seek(0)
            while line := file.readline(_LINE_MAX):
                number += not rest
                self._progress(self.bytes)
                data, rest = rest + line, b""
                if not line.endswith(b"\n") and len(line) == _LINE_MAX:
                    rest = line[-max(_OVERLAP, self._look.overlap) :]
                if self._look.may_hold(data):
                    self._line(path, f"line {number}", data.decode("utf-8", "replace").rstrip("\r\n"))

    def _line(self, path: str, place: str, text: str) -> None:
        self._all(path, place, self._look.hidden(text.encode("utf-8", "surrogatepass")))
        value: Any = text
        if text.lstrip()[:1] in ("{", "["):
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                pass
        if type(value) is not dict or not isinstance(value.get("trace_id"), str):
            self._all(path, place, self._look.found(value))
            return
        trace = value["trace_id"][:8]
        trace = trace if _IS_HEX.fullmatch(trace) else self._look.clean(trace)
        span = f'span "{self._look.clean(str(value.get("name")))}" of trace {trace}'
        for key, item in value.items():
            if not key.endswith(("_id", "_nano")):
                for fact, of in facts(item) if key == "attributes" else [(item, None)]:
                    self._all(path, f"{place}, {span}: {self._look.clean(key)}", self._look.found(fact, of))

    def _in_bytes(self, path: str, descriptor: int, lines: bool = False) -> None:
        """Canaries in the bytes of a file as they are; of a text only those that are longer than a line."""
        self.bytes += os.fstat(descriptor).st_size
        if not any(not lines or "\n" in canary.text for canary in self._look.canaries):
            return
        counts: Counter[Found] = Counter()
        before = b""
        for chunk in _chunks(descriptor):
            counts.update(self._look.hidden(before + chunk))
            before = (before + chunk)[-(self._look.overlap - 1) :]
            counts.subtract(self._look.hidden(before))  # they are counted again with what comes next
        counts.update(self._look.hidden(before))
        for one, times in counts.items():
            if times > 0:
                self._note(path, "bytes of the file", one.kind, one.shown, times)

    def _in_raw(self, path: str, place: str, chunks: Iterator[bytes]) -> None:
        """Texts among bytes, and what was compressed among them."""
        before = b""
        for chunk in chunks:
            self._progress(self.bytes)
            data = before + chunk
            before = chunk[-_OVERLAP:] if len(chunk) == _CHUNK_BYTES else b""
            self._all(path, place, self._look.raw(data))
            for opened in _opened(data):
                self._compressed(path, f"{place}, compressed", opened)

    def _compressed(self, path: str, place: str, data: bytes) -> None:
        self._all(path, place, self._look.hidden(data))
        try:
            items = _BLOCK.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._all(path, place, self._look.raw(data))
            return
        for _, form, content in items:
            self._all(path, place, self._look.found(own(form, content)))

    # -- what was found ------------------------------------------------------------------------------

    def _all(self, path: str, place: str, found: Sequence[Found]) -> None:
        for one in found:
            self._note(path, place, one.kind, one.shown)

    def _note(self, path: str, place: str, kind: str, shown: str, times: int = 1) -> None:
        self.kinds[kind] += times
        where = (self._look.without_canaries(path), place, kind, shown if kind == CANARY else "")
        known = self._found.get(where)
        if known is not None:
            known[0] += times
        elif len(self._found) < _TOLD_MAX:
            self._found[where] = [times, shown]
        else:
            self.more = True


def files_of(store: str) -> list[str]:
    """The store, its journals, and what lies beside it under its name; all that is in a `.agentops/`.

    Raises:
        NotFound: there is no store, and no journal that could become one.
    """
    if not os.path.exists(store) and not journals(journal_folder(store)):
        raise NotFound(f"there is no store at {store}: nothing was recorded here yet. Name a file, or say with "
                       "AGENTOPS_STORE where the store is")  # fmt: skip
    folder = os.path.dirname(store)
    if os.path.basename(folder) == FOLDER:
        return list(_walk(folder))
    mine = os.path.basename(store)
    beside = [e.path for e in _entries(folder) if e.name.startswith(mine) and not e.is_dir(follow_symlinks=False)]
    return [*beside, *_walk(journal_folder(store))]


def is_store(head: bytes) -> bool:
    """Whether a file that begins so was made by agentops."""
    mark = head[APPLICATION_ID_AT : APPLICATION_ID_AT + 4]
    return is_database(head) and mark == APPLICATION_ID.to_bytes(4, "big")


def walk(path: str) -> Iterator[str]:
    """A file, or all files in a folder."""
    return _walk(path) if os.path.isdir(path) else iter((path,))


def _walk(folder: str) -> Iterator[str]:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        else:
            yield entry.path


def is_held(path: str) -> bool:
    """Whether a running program still writes this journal."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC and writer_is_alive(file.fileno())
    except OSError:
        return False


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as problem:
        raise StoreError(f"{folder} cannot be read: {problem.strerror}") from problem


def _chunks(descriptor: int, begin: int = 0, end: int | None = None) -> Iterator[bytes]:
    at = begin
    while chunk := os.pread(descriptor, _CHUNK_BYTES if end is None else min(_CHUNK_BYTES, end - at), at):
        yield chunk
        at += len(chunk)


def _is_text(descriptor: int) -> bool:
    """Whether a file begins as a text does."""
    head = os.pread(descriptor, 1 << 16, 0)
    if b"\0" in head:
        return False
    try:
        head[: head.rfind(b"\n") + 1 or len(head)].decode()
    except UnicodeDecodeError as problem:
        return problem.start > len(head) - 4
    return True


def _opened(data: bytes) -> Iterator[bytes]:
    """What was compressed in one piece somewhere in `data`."""
    at = data.find(_FRAME)
    while at >= 0:
        try:
            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data[at:])) as reader:
                opened = reader.read(_OPENED_MAX)
        except zstandard.ZstdError:
            opened = b""
        if opened:
            yield opened
        at = data.find(_FRAME, at + 1)

"""The redactor: what is found in texts and values is put aside, and everything else stays as it was."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import xxhash

from agentops.errors import UsageError
from agentops.redaction import inside
from agentops.redaction.calm import calm
from agentops.redaction.findings import Finding, unite
from agentops.redaction.keys import key_from, key_of_folder
from agentops.redaction.operators import Operator, operator_for

__all__ = ["Detector", "Redactor", "found_in_number", "key_inside", "recorded_as", "redactor_named"]

#: How deep texts are looked for in texts.
_DEPTH_MAX = 3
_REMEMBERED_BYTES = 4 << 20
_REMEMBERED_TEXT = 64 << 10
#: A value is read with its key in front of it, as in `ssn: 123-45-6789`, if both are short: the key may say what it is.
_KEY_MAX, _VALUE_MAX = 48, 128
#: Whole numbers of this many digits may be a card's, an account's or a person's.
_DIGITS_MIN, _DIGITS_MAX = 9, 40
#: Before whole numbers in MessagePack, of eight and of four bytes.
_LARGE_NUMBER, _NUMBER = b"\xcf", b"\xce"
_NUMBERS = re.compile(rb"\xcf(?=(.{8}))|\xce(?=(.{4}))", re.DOTALL)
_CARDS = re.compile(rb"\xcf(?=([\x00-\x7f].{7}))()", re.DOTALL)
#: A number that only its key could make one of a person.
_UNNAMED = "2500000000"
#: Blanks as they stand in JSON and in what Python shows of a text: as long as two, so that all places stay.
_ESCAPED = re.compile(r"\\[nrt\"']")
#: Under such a key four numbers with dots between them are no address.
_VERSION = re.compile(r"version|release|build", re.IGNORECASE)
_WAYS = ("wait", "withhold")
#: Keys that say nothing: what stands under them is what the key of the whole mapping says.
_SAY_NOTHING = frozenset(
    (
        "value",
        "values",
        "val",
        "data",
        "text",
        "content",
        "raw",
        "plain",
        "plaintext",
        "default",
        "current",
        "new",
        "old",
    )
)


class Detector(Protocol):
    """Finds what is sensitive. Any thread may call it, and several at once."""

    def may_hold(self, data: bytes) -> bool:
        """False promises that `find` finds nothing in any text inside `data` (UTF-8, one text or many)."""

    def find(self, text: str) -> list[Finding]:
        """What is sensitive in `text`."""


class Redactor:
    """Takes what is sensitive out of everything before it is recorded.

    Args:
        detectors: names ("pii", "secrets") or detectors; both of these without any.
        operator: what stands instead: "replace" (`<EMAIL_ADDRESS>`), "mask" (`**** **** **** 1881`), "hash" (the same
            for the same value, under the key), "pseudonym" (the same within a session, another one in the next), or a
            function of kind and text; or a mapping from kinds to those, with "*" for all others.
        key: of hashes and pseudonyms; AGENTOPS_REDACT_KEY, or a file beside the store, without it.
        when_full: what a program does that is faster than its detectors, once 8 MB wait for them: "wait", or
            "withhold" what does not fit.

    Raises:
        UsageError: a name is unknown, or something is no detector or operator.
    """

    def __init__(
        self,
        *detectors: str | Detector,
        operator: str | Callable[[str, str], str] | Mapping[str, str | Callable[[str, str], str]] = "replace",
        key: str | bytes | None = None,
        when_full: str = "wait",
    ) -> None:
        self.detectors = tuple(_detector(one) for one in detectors or ("pii", "secrets"))
        by_kind = operator if isinstance(operator, Mapping) else {"*": operator}
        kinds: list[frozenset[str]] = [getattr(one, "kinds", frozenset()) for one in self.detectors]
        unknown = by_kind.keys() - {"*"}.union(*kinds) if all(kinds) else frozenset[str]()
        if unknown:
            raise UsageError(
                f"an operator is given for {', '.join(sorted(unknown))}, which no detector finds: see their `kinds`"
            )
        self._operators = {kind: operator_for(one) for kind, one in by_kind.items()}
        self._operators.setdefault("*", operator_for("replace"))
        pseudonyms = {kind for kind, one in by_kind.items() if one == "pseudonym"}
        #: For names by which things are grouped.
        self._apart = {
            kind: one if kind in pseudonyms else operator_for("hash") for kind, one in self._operators.items()
        }
        #: Whether the same value is another one in each session.
        self.by_session = "pseudonym" in by_kind.values()
        if when_full not in _WAYS:
            raise UsageError(f"when_full is one of {', '.join(_WAYS)}, not {when_full!r}")
        self.when_full = when_full
        self.key: bytes = os.urandom(32)
        #: Whether the key was given: else the store's is used.
        self.key_is_given = key is not None
        if key is not None:
            self.key = key_from(key)
        self._finders = [(one, getattr(one, "find_value", None)) for one in self.detectors]
        self._usual = all(getattr(one, "is_usual", False) for one in self.detectors)
        self._gates_numbers = all(hasattr(one, "number_gate") for one in self.detectors)
        self._seed = int.from_bytes(os.urandom(8), "little")
        self._known: dict[tuple[bytes, str], str | None] = {}
        self._known_bytes = 0

    def warm(self) -> None:
        """Load what the detectors need, which may take seconds.

        Raises:
            UsageError: something that they need is not installed.
        """
        for one in self.detectors:
            getattr(one, "warm", _nothing)()

    def may_hold(self, data: bytes) -> bool:
        """False promises that nothing is found in any text inside `data`: UTF-8, or MessagePack that holds some."""
        return self._may_hold(data, 0)

    def find(self, text: str, key: str | None = None) -> list[Finding]:
        """What is sensitive in `text`, escaped or not; that which stands in base64 in it as a whole.

        Args:
            text: any text.
            key: under which it stands in a mapping.
        """
        return self._find(text, key, 0)

    def text(self, text: str, session: str = "", key: str | None = None) -> str:
        """`text` without what is sensitive; `text` itself if that is nothing."""
        return self._text(text, session, key, 0)

    def identifier(self, text: str, session: str = "") -> str:
        """As `text`, but what differed still differs: for names by which things are grouped, a user's for example."""
        found = self.find(text)
        if not found:
            return text
        return self._put(text, found, session, self._apart)

    def value(self, value: Any, session: str = "") -> Any:
        """Plain data (as decoded from JSON or MessagePack) of the same structure without what is sensitive.

        Texts, bytes, keys of mappings and long whole numbers are looked at; anything else stays what it is.
        """
        return self._value(value, session, 0)

    # -- how -----------------------------------------------------------------------------------------

    def _value(self, value: Any, session: str, depth: int) -> Any:
        top: list[Any] = [value]
        todo: list[tuple[Any, Any, str | None]] = [(top, 0, None)]
        while todo:
            place, at, key = todo.pop()
            item = place[at]
            if isinstance(item, str):
                place[at] = self._text(item, session, key, depth)
            elif isinstance(item, dict):
                place[at] = made = {}
                for name, inner in item.items():
                    new = (
                        self._text(name, session, None, depth) if isinstance(name, str) else self._other(name, session)
                    )
                    while new in made:  # two keys became the same one, and no value may be lost
                        new = f"{new}'"
                    made[new] = inner
                    if not isinstance(inner, (bool, float, type(None))):
                        todo.append((made, new, key_inside(name, key)))
            elif isinstance(item, (list, tuple)):
                place[at] = items = list(item)
                todo.extend((items, n, key) for n, inner in enumerate(items))
            else:
                place[at] = self._other(item, session, key)
        return top[0]

    def _other(self, item: Any, session: str, key: str | None = None) -> Any:
        if isinstance(item, (bytes, bytearray)):
            return self._bytes(bytes(item), session, key)
        if isinstance(item, int) and not isinstance(item, bool) and item >= 10 ** (_DIGITS_MIN - 1):
            found = found_in_number(self.detectors, item, key)
            return self._put(str(int(item)), found, session) if found else item
        return item

    def _bytes(self, data: bytes, session: str, key: str | None) -> bytes:
        if not self.may_hold(data):
            return data
        try:
            text, encoding = data.decode(), "utf-8"
        except UnicodeDecodeError:
            text, encoding = data.decode("latin-1"), "latin-1"
        redacted = self._text(text, session, key, 0)
        return data if redacted == text else redacted.encode(encoding, "replace")

    def _text(self, text: str, session: str, key: str | None, depth: int) -> str:
        redacted = self._redacted(text, session, key, depth) if text else text
        return redacted if redacted is text or type(text) is str else type(text)(redacted)

    def _redacted(self, text: str, session: str, key: str | None, depth: int) -> str:
        digest = b""
        if len(text) <= _REMEMBERED_TEXT:
            data = f"{key}\0{text}".encode("utf-8", "surrogatepass")
            digest = xxhash.xxh3_128_digest(data, seed=self._seed)
            known = self._known.get((digest, session), "")
            if known != "":
                return text if known is None else known
        redacted = (
            inside.as_json(text, lambda value: self._value(value, session, depth + 1)) if depth < _DEPTH_MAX else None
        )
        if redacted is None:
            found = self._find(text, key, depth)
            redacted = self._put(text, found, session) if found else text
            if found and inside.was_json(text, redacted):  # a number became a text
                value = self._value(inside.opened_json(text), session, depth + 1)
                redacted = inside.written_json(value) or redacted
        if digest:
            self._remember((digest, session), None if redacted == text else redacted, len(redacted))
        return text if redacted == text else redacted

    def _find(self, text: str, key: str | None, depth: int) -> list[Finding]:
        data = text.encode("utf-8", "surrogatepass")
        found: list[Finding] = []
        named = key is not None and len(key) <= _KEY_MAX and len(text) <= _VALUE_MAX
        for one, find_value in self._finders:
            if find_value is not None and key is not None:
                found += find_value(key, text)
            elif one.may_hold(data):
                here = one.find(text)
                if "\\" in text and (plain := _ESCAPED.sub("  ", text)) != text:
                    here = here + one.find(plain)
                if named and not here:
                    shift = len(key or "") + 2
                    here = [
                        Finding(f.start - shift, f.end - shift, f.kind, f.score)
                        for f in one.find(f"{key}: {text}")
                        if f.start >= shift
                    ]
                if named and _VERSION.search(key or ""):
                    here = [f for f in here if f.kind != "IP_ADDRESS"]
                found += here
        if depth < _DEPTH_MAX and inside.may_be_base64(data):
            characters = text.encode("latin-1", "replace")  # places in it are places in the text
            for start, end, opened in inside.decoded(characters):
                if kinds := {f.kind for f in self._find(opened.decode(errors="replace"), None, depth + 1)}:
                    found.append(Finding(start, end, "_".join(sorted(kinds)), 1.0))
        if depth < _DEPTH_MAX and (view := inside.view(text)) is not None:
            for f in self._find(view.text, key, depth + 1):
                found.append(Finding(view.place(f.start), view.end(f.end), f.kind, f.score))
        return unite(found)

    def _holds_number(self, data: bytes) -> bool:
        """Whether one of the whole numbers that may stand in MessagePack may be sensitive."""
        if _LARGE_NUMBER not in data and _NUMBER not in data:
            return False
        gates = [_number_gate(one, data) for one in self.detectors]
        # In Greek every second byte looks like the mark of a number. Where no key says what numbers are, only cards
        # matter, and their numbers take eight bytes of which the first is none of a letter's.
        pattern = _CARDS if self._gates_numbers and not any(gate(_UNNAMED) for gate in gates) else _NUMBERS
        for match in pattern.finditer(data):
            number = int.from_bytes(match[1] or match[2], "big")
            if number >= 10 ** (_DIGITS_MIN - 1) and any(gate(str(number)) for gate in gates):
                return True
        return False

    def _may_hold(self, data: bytes, depth: int) -> bool:
        if self._usual and calm(data):
            return False
        if self._holds_number(data):
            return True
        for one in self.detectors:
            if one.may_hold(data):
                return True
        if depth == _DEPTH_MAX:
            return False
        if inside.may_be_base64(data) and any(self._may_hold(text, depth + 1) for _, _, text in inside.decoded(data)):
            return True
        return any(self._may_hold(plain, depth + 1) for plain in inside.unescaped(data))

    def _put(
        self, text: str, found: list[Finding], session: str, operators: Mapping[str, Operator] | None = None
    ) -> str:
        operators = operators or self._operators
        pieces: list[str] = []
        at = 0
        for one in found:
            use = operators.get(one.kind) or operators["*"]
            pieces += (text[at : one.start], use(one.kind, text[one.start : one.end], self.key, session))
            at = one.end
        return "".join((*pieces, text[at:]))

    def _remember(self, which: tuple[bytes, str], redacted: str | None, size: int) -> None:
        self._known_bytes += 64 + (size if redacted is not None else 0)
        if self._known_bytes > _REMEMBERED_BYTES:
            self._known.clear()
            self._known_bytes = 64 + size
        self._known[which] = redacted


def found_in_number(detectors: Iterable[Detector], number: int, key: str | None = None) -> list[Finding]:
    """What is sensitive in the digits of a whole number, which stands under `key` in a mapping."""
    if not 10 ** (_DIGITS_MIN - 1) <= number < 10**_DIGITS_MAX:
        return []
    digits = str(int(number))
    found: list[Finding] = []
    for one in detectors:
        find_number, find_value = getattr(one, "find_number", None), getattr(one, "find_value", None)
        if find_number is not None:
            found += find_number(digits, key)
        elif find_value is not None and key is not None:
            found += find_value(key, digits)
        elif one.may_hold(digits.encode()):
            found += one.find(digits)
    return unite(found)


def key_inside(name: object, outer: str | None) -> str | None:
    """The key that says what the value is that stands under `name` in a mapping, which itself stands under `outer`."""
    if isinstance(name, str) and (outer is None or name.lower() not in _SAY_NOTHING):
        return name
    return outer


def _number_gate(detector: Detector, data: bytes) -> Callable[[str], bool]:
    make: Callable[[bytes], Callable[[str], bool]] | None = getattr(detector, "number_gate", None)
    return make(data) if make is not None else lambda number: detector.may_hold(number.encode())


def redactor_named(given: str) -> Redactor:
    """What `redact="pii"` means: personal data and secrets; "secrets": those alone.

    Raises:
        UsageError: there is no such name.
    """
    if given == "pii":
        return Redactor("pii", "secrets")
    if given == "secrets":
        return Redactor("secrets")
    raise UsageError(f'redact is "pii" (personal data and secrets), "secrets", or a redactor, not {given!r}')


def recorded_as(text: str, folder: str) -> list[str]:
    """What a session, a user or a tag may be called in the store of `folder`: as it is, or with hashes in it."""
    key = key_of_folder(folder, create=False)
    if key is None:
        return [text]
    found = [text]
    for detectors in ((), ("secrets",)):
        try:
            redactor = Redactor(*detectors)
            redactor.key = key
            found.append(redactor.identifier(text))
        except UsageError:  # what finds personal data is not installed here
            continue
    return list(dict.fromkeys(found))


def _detector(given: str | Detector) -> Detector:
    if given == "pii":
        from agentops.redaction.pii import Pii

        return Pii()
    if given == "secrets":
        from agentops.redaction.secrets import Secrets

        return Secrets()
    if isinstance(given, str):
        raise UsageError(f'there is no detector {given!r}; there are "pii" and "secrets"')
    if not callable(getattr(given, "find", None)) or not callable(getattr(given, "may_hold", None)):
        raise UsageError(f"a detector has the methods may_hold and find; {type(given).__name__} has not")
    return given


def _nothing() -> None: ...

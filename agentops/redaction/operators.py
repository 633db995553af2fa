"""What stands in a text instead of what was found there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

from agentops.errors import UsageError

__all__ = ["OPERATORS", "PUT_IN", "Operator", "operator_for", "tag"]

#: Given the kind and the text that was found, the key and the session: what is recorded instead.
Operator = Callable[[str, str, bytes, str], str]

#: What `replace`, `hash` and `pseudonym` put into a text.
PUT_IN = re.compile(r"<[A-Z][A-Z0-9_]*(?::[0-9a-f]{12})?>")

#: Of these the last characters may stay with `mask`: people tell their cards and phones apart by them.
_SHOWN = {"CREDIT_CARD": 4, "IBAN_CODE": 4, "PHONE_NUMBER": 2}
_CHARACTER = re.compile(r"\w")
_NOT_TOLD_APART = re.compile(r"[\s().\-]+")
_CASELESS = frozenset(("EMAIL_ADDRESS", "IBAN_CODE", "MAC_ADDRESS"))
_HEX_DIGITS = 12


def _replace(kind: str, found: str, key: bytes, session: str) -> str:
    return f"<{kind}>"


def _mask(kind: str, found: str, key: bytes, session: str) -> str:
    shown = _SHOWN.get(kind, 0)
    at = len(found) - shown if shown and len(found) > 3 * shown else len(found)
    return _CHARACTER.sub("*", found[:at]) + found[at:]


def _hash(kind: str, found: str, key: bytes, session: str) -> str:
    return f"<{kind}:{tag(kind, found, key)}>"


def _pseudonym(kind: str, found: str, key: bytes, session: str) -> str:
    return f"<{kind}:{tag(kind, found, key, session)}>"


def tag(kind: str, found: str, key: bytes, session: str | None = None) -> str:
    """48 bits of BLAKE2b under `key` (RFC 7693), in hexadecimal: the same for the same card however it is written."""
    plain = found
    if kind in _CASELESS:
        plain = plain.lower()
    if kind not in ("EMAIL_ADDRESS", "URL"):
        plain = _NOT_TOLD_APART.sub("", plain)
    person = b"" if session is None else hashlib.blake2b(session.encode("utf-8", "replace"), digest_size=16).digest()
    text = f"{kind}\0{plain}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, key=key[:64], person=person, digest_size=_HEX_DIGITS // 2).hexdigest()


OPERATORS: Mapping[str, Operator] = {"replace": _replace, "mask": _mask, "hash": _hash, "pseudonym": _pseudonym}


def operator_for(given: object) -> Operator:
    """The operator of that name, or one of the user's: a function of kind and text.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(given, str):
        if given in OPERATORS:
            return OPERATORS[given]
        raise UsageError(f"there is no operator {given!r}; there are {', '.join(OPERATORS)}, or give a function")
    if callable(given):
        function = given
        return lambda kind, found, key, session: str(function(kind, found))
    raise UsageError(f"an operator is a name or a function of kind and text, not {type(given).__name__}")

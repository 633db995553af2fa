"""How credentials look, and what only looks like one."""

from __future__ import annotations

import math
import re

__all__ = ["DIGIT", "UUID", "entropy", "is_dummy", "is_key", "is_password", "is_random", "is_template"]

DIGIT = re.compile(rb"[0-9]")
UUID = rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

_LETTER = re.compile(rb"[A-Za-z]")
_CHANGE = re.compile(rb"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_CASES = re.compile(rb"(?<=[a-z])(?=[A-Z])|(?<=[A-Z][A-Z])(?=[a-z])")
_NO_WORDS = re.compile(rb"[A-Z](?![a-z])")
_SYMBOL = re.compile(rb"[!@#$^*+?~]")
#: Of these a plain key says nothing: they number or name things far more often than they open them.
_NUMBER_OR_HASH = re.compile(UUID + rb"|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9]+")
_PATH = re.compile(
    rb"\.{0,2}/|[a-z+]{2,12}://|[A-Za-z]:\\"
    rb"|[\w.-]+\.(?:py|js|ts|json|ya?ml|toml|pem|cer|crt|key|p12|pfx|txt|md|com|org|net|io|html?)$"
)
_IDENTIFIER = re.compile(rb"(?:[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+|[A-Za-z_]+|[a-z]+(?:_[a-z]+)*_?\d?)\Z")

#: Strict enough for what has the form of one provider's: not even that is always a credential.
_TEMPLATE = re.compile(rb"([b-zB-Z#*])\1{5}|(?i:example|placeholder|redacted|your[_-])")
_SAME = re.compile(rb"(.)\1{5}")
_ANGLES = re.compile(rb"<[^>]{0,80}>")
_DUMMY_STARTS = (b"$", b"%", b"env.", b"env:")
_DUMMY_PARTS = tuple(
    b"xxxx *** ... ${ {{ $( %( changeme change_me change-me your example placeholder redacted dummy fake insert todo"
    b" abcdefghij 0123456789 1234567890abc null undefined foobar process.env os.environ".split()
)
_DUMMY_WORDS = frozenset(
    b"password passwd passphrase pwd pass secret token test testing string text str int bool true false none null nil"
    b" required optional invalid missing empty hidden value values key user username mypassword yes no changeit default"
    b" unknown input type object boolean number array bytes bearer basic your the not and for".split()
)


def entropy(value: bytes) -> float:
    """Bits a character, after Shannon; of the beginning, where it is long."""
    value = value[:512]
    length = len(value)
    return -sum(n / length * math.log2(n / length) for n in map(value.count, set(value)))


def is_template(value: bytes) -> bool:
    """Whether it shows where a credential would stand, as documentation does: `ghp_xxxxxxxx`."""
    return _TEMPLATE.search(value[:512]) is not None


def is_dummy(value: bytes) -> bool:
    """Whether it stands for a credential, or is a word that one would not choose."""
    lower = value[:80].lower()
    if len(set(lower)) < 4 or lower in _DUMMY_WORDS or lower.startswith(_DUMMY_STARTS) or _SAME.search(lower):
        return True
    return any(part in lower for part in _DUMMY_PARTS) or (b"<" in lower and _ANGLES.search(lower) is not None)


def is_key(value: bytes, trusted: bool) -> bool:
    """Whether it looks like something that a machine made.

    Args:
        value: what stands under a key.
        trusted: the key says clearly that it is a secret.
    """
    if not 8 <= len(value) <= 16_384 or b" " in value or _PATH.match(value) or is_dummy(value):
        return False
    if not DIGIT.search(value) or not _LETTER.search(value):
        return False
    # Digits and letters take turns in what is random, hardly in words with a number.
    changes = len(_CHANGE.findall(value[:80]))
    if trusted:
        return entropy(value) >= (2.8 if changes >= 2 else 4.0)
    return changes >= 3 and len(value) >= 13 and not _NUMBER_OR_HASH.fullmatch(value) and entropy(value) >= 3.5


def is_random(value: bytes) -> bool:
    """Whether what stands behind the prefix of a provider is no words: digits, letters and cases take turns in it."""
    head = value[:80]
    if not DIGIT.search(head) and not _NO_WORDS.search(head):
        return False
    turns = len(_CHANGE.findall(head)) + len(_CASES.findall(head))
    if 7 * turns < len(head) or entropy(value) < 3 or is_template(value) or _SAME.search(head):
        return False
    return not any(part in head.lower() for part in _DUMMY_PARTS if len(part) > 6)


def is_password(value: bytes, quoted: bool) -> bool:
    """Whether it may be what a person typed.

    Args:
        value: what stands under a key that names a password.
        quoted: it stands in quotes, or alone, so that it is no code and no sentence.
    """
    if not value.strip() or len(value) > 1024 or _PATH.match(value) or (len(value) > 3 and is_dummy(value)):
        return False
    if quoted:
        return value[:1] not in b"),;:+" and (len(value) >= 4 or not value.isalpha())
    digit = DIGIT.search(value) is not None
    if len(value) < 6 or (_IDENTIFIER.match(value) and not digit):
        return False
    return digit or _SYMBOL.search(value) is not None

"""Whether bytes can hold anything personal: cheap, and wrong in one direction only.

Every kind has marks that stand in each of its findings: an `@`, seven digits with little between them, two colons.
Most texts have none of these and are not looked at again. The bytes may be one text or many in msgpack, so what
stands round a text can be anything: no test here may look at what is next to a finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["KINDS", "NUMBERS", "Gate", "is_card", "luhn", "names_number", "without_dates"]

#: Kinds that are numbers of seven digits or more.
NUMBERS = frozenset({"CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER", "US_ITIN", "US_PASSPORT", "US_SSN"})
#: All kinds that a gate knows marks of; any other kind can be anywhere.
KINDS = NUMBERS | {"CRYPTO", "EMAIL_ADDRESS", "IP_ADDRESS", "MAC_ADDRESS", "URL"}

#: Digits with what can stand between them; of what is not ASCII, any (`numbers.py` looks closer).
_RUN = re.compile(rb"[0-9][0-9 \-.()\[\]/~\x80-\xff]{5,}[0-9]")
_IPV4 = re.compile(rb"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_COLONS = re.compile(rb"::")  # half the time of `in`
_IPV6 = re.compile(rb":[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:")
_MAC = re.compile(rb"([:-])[0-9A-Fa-f]{2}\1[0-9A-Fa-f]{2}\1|\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]")
_CRYPTO = re.compile(rb"[13][A-Za-z0-9]{25}")
_EMAIL = re.compile(rb"[^\s@]@[\w\x80-\xff][^\s@]*\.[\w\x80-\xff]")
_URL = re.compile(rb"[A-Za-z0-9.\-\x80-\xff]\.[A-Za-z\x80-\xff]")
#: Dates and times as computers write them, and decimal fractions: most numbers of agents, and never personal.
_DATES = r"""(?<![0-9])(?:
    (?:19|20)[0-9]{2}([-/.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12][0-9]|3[01])
  | (?:0?[1-9]|[12][0-9]|3[01])([-/.])(?:0?[1-9]|[12][0-9]|3[01])\2(?:19|20)[0-9]{2}
  | (?<!\.)[0-9]{1,3}\.[0-9]{4,}(?!\.)
)(?![0-9])"""
_DATES_TEXT = re.compile(_DATES, re.VERBOSE)
_DATES_BYTES = re.compile(_DATES.encode(), re.VERBOSE)

#: Cards that are believed without a word and without a space between their digits.
_CARD = re.compile(
    r"(?:4\d|5[1-5]|62|65)\d{14}|(?:6011|64[4-9]\d|35(?:2[89]|[3-8]\d))\d{12}"
    r"|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720|220[0-4])\d{12}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}",
    re.ASCII,
)
#: Keys of whole numbers that are a person's; any other number counts or measures something.
_PERSONAL = re.compile(
    r"phone|mobile|handy|cell(?!s)|(?<![a-z])(?:tel|fax|sms|tin|cc|ssn|pan|dob)(?![a-z])|telefon|pager|msisdn|whats_?app"
    r"|caller|contact|card|visa|maestro|amex|ssn|social|account|(?<![a-z])acct|konto|iban|passport|itin(?!er)|taxpayer"
    r"|tax_?id",
    re.IGNORECASE,
)
_PERSONAL_BYTES = re.compile(_PERSONAL.pattern.encode())  # of small letters: a fraction of the time

_DIGITS = b"0123456789"
_ASCII = bytes(range(128))
#: Digits become 0, and dots, so that an IPv4 address is a row of seven too; what else can stand between digits goes.
_CLASSES = bytes(48 if byte in b"0123456789." else 32 for byte in range(256))
_BETWEEN = b" -()[]/~" + bytes(range(128, 256))
#: What addresses without blanks are made of becomes x; the shortest that are no IPv4 have 14 characters.
_TOKENS = bytes(120 if byte < 128 and (chr(byte).isalnum() or byte in b":.-") else 32 for byte in range(256))
_TOKEN = b"x" * 14
_NO_DIGITS = bytes(set(range(256)) - set(_DIGITS))


_OTHER_DIGITS = re.compile(rb"[\xd9\xdb\xdf\xe0\xe1\xea\xef\xf0]")
_DIGIT = re.compile(r"\d")


def without_dates(run: str) -> str:
    """`run` with dates, times and decimal fractions overwritten by `|`, as long as before."""
    return _DATES_TEXT.sub(lambda match: "|" * len(match[0]), run)


def luhn(number: str) -> bool:
    """Whether the last digit of a card is the one that the others demand."""
    total = sum(int(c) for c in number[-1::-2])
    return (total + sum(sum(divmod(2 * int(c), 10)) for c in number[-2::-2])) % 10 == 0


def is_card(number: str) -> bool:
    """Whether a whole number is a card's, by prefix, length and check digit."""
    return _CARD.fullmatch(number) is not None and luhn(number)


def names_number(name: str | bytes) -> bool:
    """Whether a key says that a whole number under it may be a person's; of bytes, whether there is such a key."""
    return (_PERSONAL.search(name) if isinstance(name, str) else _PERSONAL_BYTES.search(name.lower())) is not None


class Gate:
    """Tells whether bytes can hold findings of some kinds.

    Args:
        kinds: which. A kind that is not in `KINDS` can be in any bytes.
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        wanted = frozenset(kinds)
        self._always = bool(wanted - KINDS)
        self._email = "EMAIL_ADDRESS" in wanted
        self._numbers = bool(wanted & NUMBERS)
        self._ip = "IP_ADDRESS" in wanted
        self._mac = "MAC_ADDRESS" in wanted
        self._crypto = "CRYPTO" in wanted
        self._tokens = self._ip or self._mac or self._crypto
        self._url = "URL" in wanted

    def opens(self, data: bytes) -> bool:
        """False promises that no text in `data` has a finding of these kinds."""
        if self._always:
            return True
        if self._email and b"@" in data and _EMAIL.search(data):
            return True
        if self._url and _URL.search(data):
            return True
        if self._ip and b":" in data and _COLONS.search(data):
            return True
        if b"0000000" in data.translate(_CLASSES, _BETWEEN) and (
            (self._ip and _IPV4.search(data)) or (self._numbers and _number(data))
        ):
            return True
        if self._tokens and _TOKEN in data.translate(_TOKENS) and self._token(data):
            return True
        return self._numbers and not data.isascii() and _digits_of_other_scripts(data)

    def _token(self, data: bytes) -> bool:
        return bool(
            (self._ip and _IPV6.search(data))
            or (self._mac and _MAC.search(data))
            or (self._crypto and _CRYPTO.search(data))
        )


def _number(data: bytes) -> bool:
    """Whether a run of digits is more than dates, times and fractions."""
    for run in _RUN.finditer(data):
        for piece in _DATES_BYTES.sub(b"|", run[0]).split(b"|"):
            if len(piece.translate(None, _NO_DIGITS)) >= 7:
                return True
    return False


def _digits_of_other_scripts(data: bytes) -> bool:
    """Recognisers take the digits of all scripts for digits."""
    rest = data.translate(None, _ASCII)
    return _OTHER_DIGITS.search(rest) is not None and _DIGIT.search(rest.decode(errors="ignore")) is not None

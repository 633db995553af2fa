"""Credentials that are known by the place where they stand: URLs, headers, options, key files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentops.redaction.findings import Finding
from agentops.redaction.forms import DIGIT, entropy, is_dummy

__all__ = ["in_files", "may_be_in_file", "may_be_placed", "placed"]

_URL = re.compile(rb"://([^\s:/?#\[\]@\"'<>\\]{0,80}:([^\s/@\"'<>\\]{1,160}))@[\w\[%.{$-]")
_URL_TEMPLATE = re.compile(rb"\$|\{|<|\[|%[({s]|\*+$|[xX]+$")
_PEM = re.compile(rb"-----BEGIN[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(rb"-----END[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)?-----")
_PUTTY = re.compile(rb"PuTTY-User-Key-File-\d:")
_PUTTY_END = re.compile(rb"Private-MAC: ?[0-9a-f]{0,64}")
_BODY = re.compile(rb"[\w+/=\s\\:,.\"'-]{0,8192}")
_BLOCK_MAX = 32_768
_HEADER = re.compile(
    rb"authorization\\{0,3}[\"']?\s{0,5}(?:[:=]|,(?=[\s\\\"']{0,8}b))\s{0,5}\\{0,3}[\"']?"
    rb"(?:(?:basic|bearer|digest|negotiate|(?:api-?)?token|(?:api-?)?key)\s{1,5})?"
)
_HEADER_VALUE = re.compile(rb"[\w~@.+/-]{8,4096}={0,3}")
_OPTION = re.compile(rb"\s(?:-u|--user|--proxy-user)(?:=|\s{0,5})")
_QUOTED_PART, _PART = rb"\"[^\"\r\n]{1,256}\"|'[^'\r\n]{1,256}'", rb"[^\s\"'<>]{1,256}"
_USER = re.compile(
    rb"\"([^\"\r\n:]{0,128}:[^\"\r\n]{0,256})\"(?!:)|'([^'\r\n:]{0,128}:[^'\r\n]{0,256})'(?!:)"
    rb"|((?:" + _QUOTED_PART + rb"|[^\s\"':<>]{1,128}):(?:" + _QUOTED_PART + rb"|" + _PART + rb"))"
)
_USER_DUMMY = re.compile(
    rb"[\"']?[^:]*:[\"']?(?:change(?:it|me)|pass(?:word)?|pwd|test|token|secret|\*+|x+|\$.*|\{\{.*|\[.*|<.*|%.*)[\"']?\Z"
    rb"|[\"']?(?:\$|\{\{)|.*<[^>]*>"
)
_KUBERNETES = re.compile(
    rb"\n[ \t]{1,64}[\w.-]{1,128}:[ \t]{0,4}[\"']?([A-Za-z0-9+/]{8,4096}={0,3})[\"']?[ \t]{0,64}(?=[\r\n]|\Z)"
)
_NETRC = re.compile(rb"login\s{1,4}[^\s:=]{1,128}\s{1,4}password\s{1,4}([^\s:=]{4,256})")
_XML = re.compile(rb"<add\s{1,8}key=\"[^\"]{0,60}password\"\s{1,8}value=\"([^\"]{4,256})\"", re.IGNORECASE)


def placed(data: bytes, lower: bytes) -> Iterator[Finding]:
    """Credentials that stand in `data` where such stand; `lower` is the same in lower case."""
    if b"@" in data and b"://" in data:
        for url in _URL.finditer(data):
            if not _URL_TEMPLATE.match(url[2]):
                yield Finding(*url.span(1), "URL_CREDENTIALS", 0.9)
    if b"PRIVATE KEY" in data:
        yield from _blocks(data, _PEM, _PEM_END)
    if b"PuTTY-User-Key" in data:
        yield from _blocks(data, _PUTTY, _PUTTY_END)
    if b"authorization" in lower:
        for header in _HEADER.finditer(lower):
            match = _HEADER_VALUE.match(data, header.end())
            if match is not None and _is_header_value(match.group()):
                yield Finding(*match.span(), "AUTHORIZATION_HEADER", 0.85)
    if b"curl" in lower:
        for option in _OPTION.finditer(data):
            user = _USER.match(data, option.end())
            if user is not None and user.lastindex and not _USER_DUMMY.match(user[user.lastindex].lower()):
                yield Finding(*user.span(user.lastindex), "BASIC_AUTH", 0.8)


def in_files(data: bytes, lower: bytes) -> Iterator[Finding]:
    """Credentials in files of a known form."""
    if b"kind: secret" in lower:
        yield from _values(data, _KUBERNETES, "KUBERNETES_SECRET")
    if b"<add" in lower:
        yield from _values(data, _XML, "PASSWORD")
    if b"login" in lower:
        yield from _values(data, _NETRC, "PASSWORD")


def may_be_in_file(lower: bytes) -> bool:
    """Whether `in_files` may find something."""
    if b"kind: secret" in lower or b"<add" in lower:
        return True
    return b"login" in lower and _NETRC.search(lower) is not None


def _is_header_value(value: bytes) -> bool:
    if is_dummy(value) or entropy(value) < 2.75:
        return False
    return DIGIT.search(value) is not None or (len(value) >= 20 and not value.islower())


def _values(data: bytes, pattern: re.Pattern[bytes], kind: str) -> Iterator[Finding]:
    for match in pattern.finditer(data):
        if not is_dummy(match[1]):
            yield Finding(*match.span(1), kind, 0.7)


def _blocks(data: bytes, begin: re.Pattern[bytes], end: re.Pattern[bytes]) -> Iterator[Finding]:
    """Private keys from their first to their last line; without a last line as far as they go on."""
    at = 0
    while start := begin.search(data, at):
        at = start.end()
        stop = end.search(data, at, at + _BLOCK_MAX)
        body = _BODY.match(data, at)
        last = stop.start() if stop is not None else body.end() if body is not None else at
        text = data[at:last].strip()
        if len(text) >= 16 and len(set(text)) >= 8:
            at = stop.end() if stop is not None else last
            yield Finding(start.start(), at, "PRIVATE_KEY", 1.0)


def may_be_placed(data: bytes, lower: bytes) -> bool:
    """Whether `placed` may find something; `data` may be MessagePack."""
    if b"PRIVATE KEY" in data or b"PuTTY-User-Key" in data or b"authorization" in lower:
        return True
    if b"curl" in lower and b"-u" in data:
        return True
    return b"@" in data and b"://" in data and _URL.search(data) is not None

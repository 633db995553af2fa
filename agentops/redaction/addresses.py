"""Mail, network and web addresses, and those of wallets: what is found by how it is written.

The patterns are presidio's. Where its own would read a long text again and again (mail, web), the same is done
here in one pass.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from agentops.redaction.findings import Finding
from agentops.redaction.presidio import Presidio

__all__ = ["cryptos", "emails", "ips", "macs", "urls"]

#: Longer than any address that works (64 before the @, 255 after it).
_LONGEST = 320
_DOMAIN = re.compile(r"\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)+")
_LOCAL = re.compile(r"[!#$%&'*+\-/=?^_`{|}~.\w]+")
_BORDER = re.compile(r"\b[^.]")
#: Top-level names that are in no public list because they are for examples, tests and networks of one's own.
_RESERVED = frozenset(
    {
        "arpa",
        "corp",
        "example",
        "home",
        "host",
        "internal",
        "intranet",
        "invalid",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "mail",
        "onion",
        "private",
        "test",
    }
)


#: Nobody's: how git names a place, `git@github.com:acme/agents.git`.
_REMOTE = re.compile(r"(?:git|hg|svn|gitea|forgejo|org-\d+)@[\w.\-]+[:/][\w~/.]", re.IGNORECASE)


def emails(text: str, presidio: Presidio) -> Iterator[Finding]:
    last, at = 0, text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        local = domain and text[at - 1 : at] != "." and _LOCAL.match(text[max(last, at - _LONGEST) : at][::-1])
        start = local and _BORDER.search(text, at - local.end(), at)
        if domain and start and domain.end() - at <= _LONGEST and not _is_remote(text, start.start(), at):
            begin, last = start.start(), domain.end()
            # A local part may hold what divides a URL; where it does, it is one.
            begin = max(begin, *(text.rfind(divider, begin, at - 1) + 1 for divider in "/=?&"))
            if presidio.is_public(f"a@{domain[0]}"):
                yield Finding(begin, last, "EMAIL_ADDRESS", 1.0)
            elif domain[0].rpartition(".")[2].lower() in _RESERVED:
                yield presidio.finding(text, begin, last, "EMAIL_ADDRESS", 0.5)
        at = text.find("@", at + 1)


def _is_remote(text: str, start: int, at: int) -> bool:
    return _REMOTE.match(text, max(start, text.rfind("/", start, at) + 1)) is not None


_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3,}")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_IPV4_EXACT = re.compile(rf"\b{_OCTET}(?:\.{_OCTET}){{3}}(?:/(?:[0-2]?[0-9]|3[0-2]))?\b")
_IPV6 = re.compile(r"(?<![\w:])(?:::|(?:[0-9A-Fa-f]{1,4}:){1,7}:|(?:[0-9A-Fa-f]{1,4}:){6}[0-9A-Fa-f])")
_MAC = re.compile(
    r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}"
)
#: An address, and the port behind it as some tools write it.
_DOTS_MOST = 4
#: What stands before a version.
_VERSION = re.compile(
    r"(?:(?:version|release|build|\bver)(?:[ _]?(?:is|no|number|id))?\W{1,4}|\w(?:==|~=|>=|<=)|§|\bv[. ]{0,2})\Z",
    re.IGNORECASE,
)
#: What Python and C++ write with two colons: `[1::2]`, `be::`.
_SLICE = re.compile(r"[0-9A-Fa-f]{0,2}::[0-9A-Fa-f]{0,2}|[A-Fa-f]{1,4}::")
_DIGIT = re.compile("[0-9]")
_TOKEN = re.compile(r"[A-Za-z0-9]{26,}")


def ips(text: str, presidio: Presidio) -> Iterator[Finding]:
    for match in _IPV4.finditer(text):
        if match[0].count(".") > _DOTS_MOST or _VERSION.search(text, max(0, match.start() - 24), match.start()):
            continue  # a number of an object, a version
        exact = _IPV4_EXACT.search(text, match.start(), match.end() + 3)
        if exact and _is_ip(exact[0]):
            yield presidio.finding(text, exact.start(), exact.end(), "IP_ADDRESS", 0.6)
    if "::" not in text and text.count(":") < 7:
        return
    for match in _IPV6.finditer(text):
        for found in presidio.ask("IP_ADDRESS", text, match.start(), match.start() + 80, 2):
            if found.start == match.start() and not _SLICE.fullmatch(text, found.start, found.end):
                yield found


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return True


def macs(text: str, presidio: Presidio) -> Iterator[Finding]:
    if text.count(":") < 5 and text.count("-") < 5 and text.count(".") < 2:
        return
    for match in _MAC.finditer(text):
        if not _DIGIT.search(match[0]) or _longer(text, match):
            continue  # words, or a piece of a fingerprint
        yield from presidio.ask("MAC_ADDRESS", text, match.start(), match.end(), 1)


def _longer(text: str, match: re.Match[str]) -> bool:
    """Whether pairs go on before or after a MAC address."""
    divider = match[1]
    if not divider:
        return False
    before, after = text[max(0, match.start() - 2) : match.start()], text[match.end() : match.end() + 2]
    return (before[1:] == divider and before[:1].isalnum()) or (after[:1] == divider and after[1:].isalnum())


def cryptos(text: str, presidio: Presidio) -> Iterator[Finding]:
    for match in _TOKEN.finditer(text):
        yield from presidio.ask("CRYPTO", text, match.start(), match.end(), 0)


_HOST = re.compile("[a-z0-9.\\-\u017f\u212a]{4,}", re.IGNORECASE)
_PATH = re.compile(r"/[^\s()<>\"']*")
_SCHEME = re.compile(r"https?://\Z", re.IGNORECASE)
_HOST_LONGEST = 253


def urls(text: str, presidio: Presidio) -> Iterator[Finding]:
    """As presidio's patterns do, but without the quotation marks round it."""
    for host in _HOST.finditer(text):
        begin = host.start()
        names = _names(host[0], presidio)
        scheme = _SCHEME.search(text, max(0, begin - 8), begin)
        n = 0
        while n < len(names):
            dot, length = names[n]
            if dot + host.start() <= begin:
                n += 1
                continue
            begin = max(begin, host.start() + dot - _HOST_LONGEST)
            while n + 1 < len(names) and host.start() + names[n + 1][0] <= begin + _HOST_LONGEST:
                n += 1
            dot, length = names[n]
            end = host.start() + dot + 1 + length
            path = _PATH.match(text, end)
            end = path.end() if path else end
            whole = scheme and begin == host.start()
            yield presidio.finding(
                text, scheme.start() if whole and scheme else begin, end, "URL", 0.6 if whole else 0.5
            )
            begin = end
            n += 1


def _names(host: str, presidio: Presidio) -> list[tuple[int, int]]:
    """Where dots with a known top-level name after them stand, and how long the name is."""
    found, at = [], host.find(".", 1)
    while at >= 0:
        length = presidio.top_level(host[at + 1 : at + 26].lower())
        if length:
            found.append((at, length))
        at = host.find(".", at + 1)
    return found

"""Values that are secret because of the name that they are given."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentops.redaction.findings import Finding
from agentops.redaction.forms import DIGIT, UUID, entropy, is_key, is_password, is_template
from agentops.redaction.rules import PROVIDERS

__all__ = ["assigned", "kind_under", "may_be_assigned", "may_be_named", "may_hold_assigned", "may_name_number", "named"]

_FORMS = {
    "a": rb"[A-Za-z0-9]{%d}",
    "b": rb"[A-Za-z0-9/+]{%d}",
    "d": rb"[0-9]{%d}",
    "h": rb"[0-9a-fA-F]{%d}",
    "w": rb"[\w=-]{%d}",
}


def _form(form: str) -> bytes:
    return UUID if form == "u" else _FORMS[form[0]] % int(form[1:])


_PROVIDERS = {name.encode(): re.compile(b"|".join(map(_form, forms.split()))) for name, forms in PROVIDERS.items()}
_NAMES = "|".join(sorted(PROVIDERS, key=len, reverse=True))
_PROVIDER = re.compile(f"(?<![a-z])({_NAMES})(?![a-z]{{4}})".encode())
_SHORT_NEEDS = re.compile(rb"key|token|secret|id|client|access|auth|api")

_PASSWORD = re.compile(rb"pass(?:w(?:or)?d|wort|phrase|code)|pwd(?![a-z])|(?<![a-z])pass(?![a-z])")
#: Keys of what is secret if it looks made ...
_TRUSTED = re.compile(
    rb"secret|token|credential|creds(?![a-z])|(?<![a-z])authorization(?![a-z])"
    rb"|(?:api|access|private|priv|auth|encryption|signing|account|storage|service|client|master|app|application|db"
    rb"|database|license|consumer|deploy|webhook|secret)[_.\- ]?keys?(?![a-z])"
)
#: ... and of what is secret if it looks like nothing else.
_KEYS = re.compile(rb"(?<![a-z])(?:key|auth|access|api)(?![a-z])|[a-z]key(?![a-z])")
#: The last word of a key under which something is told about a secret, and not the secret.
_ABOUT = frozenset(
    b"name names id ids length len size sizes file files filename path paths dir url urls uri uris type types version"
    b" endpoint alias count counts limit limits usage budget word words board code codes frame mesh pair press pressed"
    b" ring store selector signature signatures stone storetype up down left right field fields format reset policy"
    b" hint help label placeholder prompt required min max expiry expires expiration ttl at date time created updated"
    b" status index manager provider service class error errors message enabled disabled valid invalid strength rules"
    b" position kind hash digest sha256 sha1 md5 checksum fingerprint template column table schema param header method"
    b" scheme host domain user username email issuer audience scope scopes algorithm alg level mode region arn link"
    b" links page".split()
)
_NO_SECRET = re.compile(
    rb"csrf|xsrf|(?<![a-z])(?:bucket|foreign|hot|idx|natural|primary|pub|public|schema|sequence|random|sort|partition"
    rb"|cache|idempotency|page|next|continuation|row|dedup|object|index|group|range|host|map|dict|config)"
    rb"_(?:key|token|access)|accessor|accessib|api_(?:name|version|id)|jar(?![a-z])|authentication_results"
    rb"|exchange_organization|tokens(?![a-z])|tokeni[sz]|token_(?:count|usage|limit)|pubkey"
)
_CAMEL = re.compile(rb"(?<=[a-z0-9])(?=[A-Z])")
_KEY_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-. \t"
_KEY = bytes(n if n in _KEY_CHARACTERS else 0x0A for n in range(256))
_SCHEMES = (b"bearer", b"basic", b"token", b"apikey", b"api-token", b"api-key", b"digest", b"negotiate")

_PIECE = re.compile(rb"[A-Za-z0-9_+/~][\w.+/~-]{7,}={0,3}")
_REST = re.compile(rb"[^\s\"'`<>&,;(){}\[\]\\|]{0,512}")
#: Keys in a mapping that has a key itself, which says what their values are.
_SAY_NOTHING = frozenset((b"value", b"values", b"val", b"text", b"data", b"old", b"new"))
_GAP = b" \t\r\n'\"`=:>|?,()[]{\\"

_WORDS = (b"pass", b"secret", b"token", b"pwd")
_WORD = re.compile(rb"pass(?:w(?:or)?d|wort|phrase|code)s?|pass(?![a-z])|pwd|secret|token(?!s)")
_FOR = rb"(?:(?:for|to|of|on) [^\r\n.:=\"'<>]{1,%d}? (?=[:=]|(?:is|was|are)\b))?"
_OPERATOR = re.compile(
    rb"([\w.\-]{0,20}?)((?:\\{0,3}[\"'`\]])?)([ \t]{0,20})"
    + _FOR % 48
    + rb"(:{0,3}=[=>]?|:{1,3}|\?=|->|>|is\b|was\b|are\b|)[ \t]{0,20}"
)
_QUOTED = re.compile(rb"@?(\\{0,3}[\"'`])((?:(?!\1)[^\r\n]){1,256})\1")
_BARE = re.compile(rb"[^\s\"'`,;&<>|(){}\[\]\\]{4,256}")
_SPOKEN = re.compile(rb"[^\s\"'`<>\\]{4,256}")
_CALL = re.compile(rb"[\w.]*[(\[{]")

#: Names as they stand in a text, camel case or not.
_GATE = re.compile(
    (
        _NAMES.replace("_", "[_-]?")
        + "|pass|pwd|secret|token|credential|creds|auth|key|access|api|bearer|basic|digest|negotiate"
    ).encode()
)
_AFTER_WORD = re.compile(
    rb"[\w.\-]{0,20}?(?:\\{0,3}[\"'`\]])?[ \t]{0,20}"
    + _FOR % 200
    + rb"(?:[=:>'\x80-\x9f\xa1-\xbf\xc4-\xc6\xd9-\xdf]|\?=|->|(?:is|was|are)\b)"
)
#: A list or a mapping in MessagePack under a name.
_HOLDS_MORE = re.compile(rb"[a-z][\x80-\x9f\xdc-\xdf]")
#: ... and in a text.
_LIST = re.compile(
    rb"(?:[(\[]\s{0,16}|\{\s{0,16}\\{0,3}[\"'](?:values?|val|text|data|old|new)\\{0,3}[\"']\s{0,4}:\s{0,16}){1,3}"
)
_NEXT = re.compile(rb"\s{0,16},\s{0,16}")


def kind_of(key: bytes, value: bytes, quoted: bool = True, whole: bool = False) -> str | None:
    """What kind of secret `value` is, as its key and its own form say; None if it is none.

    Args:
        key: the name that it is given.
        value: what may be a secret.
        quoted: it stands in quotes, or has the form of a key.
        whole: it is the value of a mapping, all of it.
    """
    key = key.strip(b" \t.-\"'`[]()").replace(b"-", b"_")
    snake = _CAMEL.sub(b"_", key).lower()
    provider = _PROVIDER.search(snake) or _PROVIDER.search(key.lower())
    if provider is not None and _PROVIDERS[provider[1]].fullmatch(value):
        clear = len(value) >= 20 or _SHORT_NEEDS.search(snake)
        if (
            clear
            and DIGIT.search(value)
            and not is_template(value)
            and entropy(value) >= (2.2 if value.isdigit() else 3.0)
        ):
            return f"{provider[1].decode().upper()}_API_KEY"
    if re.split(rb"[^a-z0-9]+", snake)[-1] in _ABOUT or _NO_SECRET.search(snake):
        return None
    if _PASSWORD.search(snake):
        return "PASSWORD" if is_password(value, quoted) else None
    trusted = _TRUSTED.search(snake) is not None
    if not trusted and not _KEYS.search(snake):
        return None
    if value[:12].lower().startswith(_SCHEMES):
        value = value.partition(b" ")[2] or value
    if whole and snake.endswith(b"secret") and b" " not in value and is_password(value, quoted=True):
        return "GENERIC_API_KEY"
    return "GENERIC_API_KEY" if is_key(value, trusted) else None


def kind_under(key: bytes, value: bytes, made: bool) -> str | None:
    """What kind of secret all of `value` is, which stands under `key` in a mapping.

    Args:
        key: the key as it is.
        value: all that stands there.
        made: a long run in it looks made. If not, only a word for a secret near the end of the key counts.
    """
    key = key.removesuffix(b"]").translate(_KEY).rpartition(b"\n")[2][-48:]
    if not made:
        key = key.rstrip(b" \t").rpartition(b" ")[2][-23:]
        if _WORD.search(key.lower()) is None:
            return None
    return kind_of(key, value, whole=True)


def assigned(data: bytes, start: int, end: int) -> Iterator[Finding]:
    """Values in the run of `data` from `start` to `end` that a key stands before."""
    for piece in _PIECE.finditer(data, start, end):
        first = piece.start()
        key = _key_before(data[max(0, first - 96) : first])
        kind = kind_of(key, piece.group()) if key else None
        if kind is not None and data[piece.end() : piece.end() + 1] != b"(":
            rest = _REST.match(data, piece.end())
            yield Finding(first, rest.end() if rest else piece.end(), kind, 0.7)


def _key_before(before: bytes) -> bytes:
    """The key of what `before` stands before; nothing if it is not assigned to one."""
    stem = before.rstrip(_GAP)
    gap = before[len(stem) :]
    scheme = next((s for s in _SCHEMES if stem[-12:].lower().endswith(s)), None) if gap.isspace() else None
    if scheme is not None:
        before = stem[: -len(scheme)]
        stem = before.rstrip(_GAP)
        gap = before[len(stem) :]
    outer, _, key = stem.translate(_KEY).rpartition(b"\n")
    key = key[-48:]
    if key.lower() in _SAY_NOTHING and (named := outer.rstrip(b"\n \t")):
        within = stem[len(named) : len(outer) + 1]
        if b"{" in within and b":" in within:
            key = named.rpartition(b"\n")[2][-48:]
    if any(sign in gap for sign in (b"=", b":", b">", b"|", b"(")):
        return key
    if b"," in gap:  # of a call: ("api_key", "...")
        return key if (b'"' in gap or b"'" in gap) and b")" not in gap and b"\n" not in gap else b""
    if scheme is not None:
        return b"token"
    return key if gap and (key[:1] == b"-" or b" -" in key) else b""


def named(data: bytes, lower: bytes) -> Iterator[Finding]:
    """Values of whatever length after a word for a password, a secret or a token."""
    done = 0
    for word in _each_word(lower):
        first, last = word.span()
        if last <= done <= first + 512:  # inside the last value
            continue
        bare_pass = word.group() == b"pass"
        if bare_pass and not _is_key_pass(lower, first, last):
            continue
        operator = _OPERATOR.match(data, last)
        if operator is None:
            continue
        key = data[max(0, first - 40) : operator.end(1)].translate(_KEY).rpartition(b"\n")[2].rpartition(b" ")[2]
        option = key.startswith(b"-")
        password = word.group()[:1] == b"p"
        at, sign = operator.end(), operator[4]
        if sign in (b"", b"is", b"was", b"are") and not (option or (password and not bare_pass)):
            continue
        if not sign and not (option and operator[3]) and not (operator[3] and data[at : at + 1] == b"'"):
            continue
        more = _LIST.match(data, at) if sign else None
        if more is not None:
            yield from _listed(data, more.end(), key)
            continue
        quoted = _QUOTED.match(data, at)
        if quoted is not None:
            value, span = quoted[2], quoted.span(2)
        else:
            bare = (_BARE if sign[-1:] in (b"=", b">") else _SPOKEN).match(data, at)
            if bare is None or _CALL.match(data, at):
                continue
            value = bare.group().rstrip(b".,:;)]}")
            span = (at, at + len(value))
        kind = kind_of(key, value, quoted is not None)
        spoken = quoted is not None and b" " in value and not operator[2] and word.group() != b"passphrase"
        if kind is not None and not spoken:
            yield Finding(*span, kind, 0.7)


def _listed(data: bytes, at: int, key: bytes) -> Iterator[Finding]:
    """Values in quotes that stand in a list under `key`."""
    while (quoted := _QUOTED.match(data, at)) is not None:
        kind = kind_of(key, quoted[2])
        if kind is not None:
            yield Finding(*quoted.span(2), kind, 0.7)
        divider = _NEXT.match(data, quoted.end())
        if divider is None:
            return
        at = divider.end()


def _each_word(lower: bytes) -> Iterator[re.Match[bytes]]:
    """The words for passwords, secrets and tokens; each by itself: a choice takes ten times as long."""
    for word in _WORDS:
        at = lower.find(word)
        while at >= 0:
            match = _WORD.match(lower, at)
            if match is not None:
                yield match
            at = lower.find(word, at + len(word))


def _is_key_pass(lower: bytes, first: int, last: int) -> bool:
    """Whether this `pass` is a key of its own, and no boarding pass."""
    before = lower[max(0, first - 40) : first]
    stem = before.rstrip(b" \t")
    if lower[last : last + 1].isalpha() or stem[-1:].isalpha():
        return False
    return stem == before or not stem[-1:].isalnum()


def may_be_assigned(lower: bytes, start: int, end: int) -> bool:
    """Whether the name of a secret stands in the run or before it, where `lower` may be MessagePack."""
    sign = max(lower.rfind(b"=", start, end), lower.rfind(b":", start, end), lower.rfind(b"|", start, end))
    if sign >= 0 and _GATE.search(lower, start, sign):
        return True
    before, _, key = lower[max(0, start - 112) : start].translate(_KEY).rstrip(b"\n \t").rpartition(b"\n")
    if len(key) <= 4 or key in _SAY_NOTHING:  # the first: what MessagePack has between a key and its value, perhaps
        key = before.rstrip(b"\n \t").rpartition(b"\n")[2] + b" " + key
    return _GATE.search(key) is not None


def may_name_number(data: bytes) -> bool:
    """Whether there is a word in it for what may be a whole number and secret."""
    lower = data.lower()
    return any(word in lower for word in _WORDS)


def may_hold_assigned(lower: bytes) -> bool:
    """Whether a list or a mapping stands under the name of a secret in `lower`, which is MessagePack."""
    return any(_GATE.search(lower, max(0, at.start() - 48), at.end()) for at in _HOLDS_MORE.finditer(lower))


def may_be_named(lower: bytes) -> bool:
    """Whether a value may follow such a word, where `lower` may be MessagePack."""
    for word in _each_word(lower):
        first, last = word.span()
        if _AFTER_WORD.match(lower, last) or b"-" in lower[max(0, first - 40) : first]:
            return True
    return False

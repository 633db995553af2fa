"""Where spans are exported to, and what of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import SplitResult, urlsplit, urlunsplit

from agentops.conventions import Dialect
from agentops.errors import SettingError, UsageError
from agentops.settings import Value

if TYPE_CHECKING:
    from agentops.redaction.redactor import Redactor

__all__ = ["CONSOLE", "Target", "environment_endpoint", "scheme_is_missing", "targets_of"]

#: One line a span on standard error; it is of this process alone, and nothing waits for another one.
CONSOLE = "console"
#: The endpoint that OpenTelemetry's own variables name.
_OTLP = "otlp"
_TRACES_PATH = "/v1/traces"
_DEFAULT_ENDPOINT = "http://localhost:4318"
#: What header names are made of (RFC 9110, a token).
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: A host with a port, or one that can be nothing else.
_HOST = re.compile(r"(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[0-9a-fA-F:.]+\])(?::\d+)?(?:/\S*)?|[\w.-]+:\d+(?:/\S*)?")
_IN_SETTINGS = ("url", "name", "redact", "rate", "errors", "slower_than", "dialect", "metrics")


@dataclass(frozen=True)
class Target:
    """Where spans are exported to, and what of them.

    Args:
        url: of an OTLP receiver that takes protobuf over HTTP. Without a path `/v1/traces` is put behind it, as
            OpenTelemetry does with an endpoint; with one it is taken as it is. Or "otlp": what OpenTelemetry's own
            variables name (OTEL_EXPORTER_OTLP_ENDPOINT); or "console": a line a span on standard error.
        headers: sent with each request. They are never written to disk.
        redact: "pii", "secrets" or a `Redactor`, as in `init`; or a function, called with every text of a span
            (values, keys, names, messages), on a thread of ours: what it returns is sent. A span for which it fails is
            not sent there.
        rate: share of the traces that are sent, from 0 to 1. Whole traces are, the same ones in every process.
        errors: False leaves out failed traces as others; else they are sent whatever `rate` says.
        slower_than: traces that took longer, in seconds, are sent whatever `rate` says. That is known, like whether
            they failed, once no span of a trace is open: those that `rate` leaves out wait for it.
        dialect: the names of attributes: "genai" (OpenTelemetry's), "openinference", or "both".
        metrics: also count calls, tokens, cost, errors and durations, by model, of all traces, and send them to
            `/v1/metrics` there each minute.
        name: what it is called in the store and by `agentops doctor`; its URL without password and query, if None.

    Raises:
        UsageError: it cannot be used so.
    """

    url: str
    _: KW_ONLY
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    redact: str | Redactor | Callable[[str], str] | None = None
    rate: float = 1.0
    errors: bool = True
    slower_than: float | None = None
    dialect: Dialect = "both"
    metrics: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.url, str) or not self.url.strip():
            raise UsageError('a target is a URL such as http://localhost:4318, "otlp" or "console"')
        if not self.is_console:
            _checked(self.endpoint)
        if self.url == _OTLP and (protocol := _protocol()) != "http/protobuf":
            raise UsageError(
                f"OpenTelemetry's variables ask for {protocol}, and agentops sends http/protobuf: set "
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL to that, and the endpoint to its port (mostly 4318)"
            )
        self._check_redact()
        for of, value, least, most in (("rate", self.rate, 0, 1), ("slower_than", self.slower_than or 0, 0, 1e9)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                raise UsageError(f"{of} of a target is a number from {least} to {most:.0f}, not {value!r}")
        if self.dialect not in get_args(Dialect):
            raise UsageError(f"dialect of a target is one of {', '.join(get_args(Dialect))}, not {self.dialect!r}")
        if self.metrics and (self.is_console or not _split(self.endpoint).path.endswith(_TRACES_PATH)):
            raise UsageError("metrics go where /v1/traces is: give a URL without a path, or one that ends with that")
        for key, header in (self.headers or {}).items():
            if not (isinstance(key, str) and isinstance(header, str)) or not _is_line(key + header):
                raise UsageError("headers of a target are texts by their names, each of one line and of Latin-1 alone")
            if not _HEADER.fullmatch(key):
                raise UsageError(f"{key!r} is no name of a header: letters, digits and - make one")
            if header[:1].isspace():
                raise UsageError(f"the header {key} begins with a blank")
        if not isinstance(self.name, (str, NoneType)):
            raise UsageError(f"the name of a target is a text, not {type(self.name).__name__}")

    def _check_redact(self) -> None:
        redact = self.redact
        if isinstance(redact, str):
            from agentops.redaction.presidio import missing
            from agentops.redaction.redactor import redactor_named

            redactor_named(redact)
            if redact == "pii" and (problem := missing()):
                raise problem
        elif redact is not None and not callable(redact) and not hasattr(redact, "may_hold"):
            kind = type(redact).__name__
            raise UsageError(f'redact of a target is "pii", "secrets", a Redactor or a function of text, not {kind}')

    def __repr__(self) -> str:
        """As it was made, without what is secret: headers, and password and query of the URL."""
        url = self.url if self.url in (_OTLP, CONSOLE) else _without_secrets(self.url.strip())
        others = {one.name: getattr(self, one.name) for one in fields(self) if one.repr and one.name != "url"}
        given = [f"{name}={value!r}" for name, value in others.items() if value != _DEFAULTS[name]]
        return f"Target({', '.join([repr(url), *given])})"

    @property
    def is_console(self) -> bool:
        """Whether spans are shown and not sent."""
        return self.url == CONSOLE

    @property
    def endpoint(self) -> str:
        """The whole URL that requests go to."""
        url = environment_endpoint() or _DEFAULT_ENDPOINT + _TRACES_PATH if self.url == _OTLP else self.url.strip()
        parts = _split(url)
        return urlunsplit(parts._replace(path=_TRACES_PATH)) if parts.path in ("", "/") else url

    @property
    def metrics_endpoint(self) -> str:
        """The whole URL that metrics go to."""
        parts = _split(self.endpoint)
        return urlunsplit(parts._replace(path=parts.path.removesuffix(_TRACES_PATH) + "/v1/metrics"))

    @property
    def known_as(self) -> str:
        """Its name, which holds no secret."""
        if self.name is not None or self.is_console:
            return self.name or CONSOLE
        return _without_secrets(self.endpoint)

    @property
    def redactor(self) -> str:
        """Name of its function; a span that is to pass it goes through no other."""
        if self.redact is None or isinstance(self.redact, str):
            return self.redact or ""
        kind = type(self.redact)
        module = getattr(self.redact, "__module__", kind.__module__)
        return f"{module}.{getattr(self.redact, '__qualname__', kind.__qualname__)}"


_DEFAULTS = {one.name: one.default for one in fields(Target)}


def _is_line(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return "\n" not in text and "\r" not in text


def environment_endpoint() -> str | None:
    """Where OpenTelemetry's variables say that spans go; None if they do not."""
    if own := os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return own
    if base := os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return base.removesuffix("/") + _TRACES_PATH
    return None


def _protocol() -> str:
    names = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    return next((value for name in names if (value := os.environ.get(name))), "http/protobuf")


def targets_of(value: Value) -> tuple[Target, ...]:
    """The targets that the setting `export` names.

    Raises:
        SettingError: one of them cannot be used.
    """
    try:
        targets = tuple(one if isinstance(one, Target) else _target(one) for one in value.value)
        names = [target.known_as for target in targets]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"two targets are called {name}: give one of them a name")
        return targets
    except UsageError as problem:
        raise SettingError(f"export (from {value.origin}) cannot be used: {problem}") from None


def _target(given: object) -> Target:
    if isinstance(given, str):
        return Target(given)
    if not isinstance(given, dict):
        raise UsageError(f'a target is a URL, "otlp", "console" or an agentops.Target, not {type(given).__name__}')
    if "headers" in given:
        raise UsageError("headers may be secret: give them by OTEL_EXPORTER_OTLP_HEADERS, or in init()")
    unknown = sorted(set(map(str, given)).difference(_IN_SETTINGS))
    if unknown or "url" not in given:
        raise UsageError(f"a target has {', '.join(_IN_SETTINGS)}; not {', '.join(unknown) or 'nothing'}")
    fields: dict[str, Any] = given
    return Target(**fields)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as problem:
        raise UsageError(f"a target's URL cannot be read: {problem}") from None


def _checked(url: str) -> None:
    parts = _split(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        shown = _without_secrets(url)
        if scheme_is_missing(shown):
            raise UsageError(f"{shown!r} is no target: http:// is missing. Give a URL such as http://localhost:4318")
        raise UsageError(f'{shown!r} is no target: give a URL such as http://localhost:4318, "otlp" or "console"')


def scheme_is_missing(word: str) -> bool:
    """Whether this would be a URL with http:// before it."""
    return _HOST.fullmatch(word) is not None


def _without_secrets(url: str) -> str:
    parts = _split(url)
    path = parts.path if parts.netloc else parts.path.rpartition("@")[2]  # as it is without a scheme
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))

"""One request with spans to an OTLP receiver, and what came of it. Importing this takes a part of a second."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from agentops import __version__
from agentops.exporters.target import Target, environment_endpoint

__all__ = ["Answer", "Client", "Session", "own_headers", "resource"]

_ANSWER_BYTES_MAX = 64 << 10
_SAYS_CHARACTERS = 150
_RETRY_AFTER_MAX_S = 600.0
#: What is about this batch, not about the target.
_OF_THE_BATCH = (400, 413, 422)
#: What the exporter itself sets; its other headers are the environment's.
_OF_THE_FORMAT = ("content-type", "content-encoding", "user-agent")
_HINTS = {
    401: "the key is wrong or missing",
    403: "the key is wrong or missing",
    404: "agentops puts /v1/traces behind a URL without a path, and takes one with a path as it is",
    405: "is this an OTLP receiver?",
    415: "it does not take protobuf over HTTP",
}


class Answer(NamedTuple):
    """What came of a request.

    kind: `taken`; `refused`, which is about these spans; `later`: the target has none of them; `unknown`: it may.
    says: in words, for people.
    retry_after: seconds that the target asks to wait.
    rejected: how many of the spans it did not take for good, though it took the others.
    """

    kind: Literal["taken", "refused", "later", "unknown"]
    says: str
    retry_after: float | None = None
    rejected: int = 0


class _Resource(Resource):
    """Asked for its hash with each span, and OpenTelemetry's makes a text of all that is in it each time."""

    _hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = super().__hash__()
        return self._hash


def resource(more: Mapping[str, str] | None = None) -> Resource:
    """What all spans come from, as OpenTelemetry's variables say, and `more` of it.

    Not by `Resource.create`: that begins threads, which a program that ends cannot.
    """
    told = Resource({"telemetry.sdk.language": "python", "telemetry.sdk.name": "agentops",
                     "telemetry.sdk.version": __version__, "service.name": "unknown_service"})  # fmt: skip
    told = told.merge(OTELResourceDetector().detect()).merge(Resource(dict(more or {})))
    return _Resource(told.attributes, told.schema_url)


class Client:
    """Sends to one target, with OpenTelemetry's own exporter and what its variables say."""

    def __init__(self, target: Target) -> None:
        self._session = Session(own_headers(target))
        self._exporter = OTLPSpanExporter(
            target.endpoint,
            headers=dict(target.headers or {}),
            session=self._session,
            max_request_size=0,  # the target may say what is too much for it
            meter_provider=NoOpMeterProvider(),
        )

    def send(self, spans: Sequence[ReadableSpan], seconds: float | None = None) -> Answer:
        """Send `spans` in one request that takes `seconds` at most, or what OTEL_EXPORTER_OTLP_TIMEOUT says."""
        self._session.seconds = seconds
        result = self._exporter.export(spans)
        answer = self._session.take()
        if answer is None or result is not SpanExportResult.SUCCESS:
            return Answer("refused", "it cannot be encoded")
        return answer


class Session(requests.Session):
    """Sends once.

    The exporter would send again for as long as its timeout is, and takes whatever is not an error for success. So it
    is told that all went well, and what did is kept for `take`.
    """

    def __init__(self, own: Mapping[str, str] | None) -> None:
        super().__init__()
        self._own = own
        self.seconds: float | None = None
        self._answer: Answer | None = None

    def take(self) -> Answer | None:
        """What came of the last request, if there was one."""
        answer, self._answer = self._answer, None
        return answer

    def request(  # type: ignore[override]
        self, method: str, url: str, *, headers: dict[str, str], data: bytes, timeout: float, **_: Any
    ) -> requests.Response:
        if self._own is not None:
            ours = {key: value for key, value in headers.items() if key.lower() in _OF_THE_FORMAT}
            headers = ours | dict(self._own)
        seconds = timeout if self.seconds is None else min(timeout, self.seconds)
        self._answer = self._ask(method, url, headers, data, max(0.05, seconds))
        well = requests.Response()
        well.status_code = 200
        return well

    def _ask(self, method: str, url: str, headers: dict[str, str], data: bytes, seconds: float) -> Answer:
        until = time.monotonic() + seconds
        try:
            response = super().request(
                method, url, headers=headers, data=data, timeout=seconds, allow_redirects=False, stream=True
            )
        except Exception as problem:  # noqa: BLE001 - of requests, urllib3, http.client, the system
            return _not_answered(problem)
        body, whole = b"", True
        try:
            with response:
                for part in response.iter_content(1):  # what comes is buffered below; no longer than that is waited
                    body += part
                    if len(body) > _ANSWER_BYTES_MAX or time.monotonic() > until:
                        whole = False
                        break
        except Exception:  # noqa: BLE001 - the same
            whole = False
        return _understood(response.status_code, response.headers, body, whole)


def own_headers(target: Target) -> dict[str, str] | None:
    """The target's headers alone, if those of the environment are meant for another host; else None."""
    named = environment_endpoint()
    if named is None or _origin(named) == _origin(target.endpoint):
        return None
    return {key.lower(): value for key, value in (target.headers or {}).items()}


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _not_answered(problem: Exception) -> Answer:
    chain = list(_chain(problem))
    names = {type(one).__name__ for one in chain}
    system = [one.strerror for one in chain if isinstance(one, OSError) and one.strerror]
    says = system[-1] if system else type(chain[-1]).__name__
    if names & {"NewConnectionError", "NameResolutionError", "ConnectTimeout", "ConnectTimeoutError", "SSLError",
                "ProxyError", "InvalidURL", "InvalidSchema", "MissingSchema", "InvalidHeader"}:  # fmt: skip
        return Answer("later", f"it cannot be reached ({says})")
    if names & {"ReadTimeout", "ReadTimeoutError", "TimeoutError", "Timeout"}:
        return Answer("unknown", "it did not answer in time")
    return Answer("unknown", f"the connection broke before the answer came ({says})")


def _chain(problem: BaseException, depth: int = 10) -> Any:
    """An exception and what it was made of; its own text may hold the URL with what is secret in it."""
    yield problem
    inner = [getattr(problem, "reason", None), *problem.args, problem.__cause__, problem.__context__]
    for one in inner:
        if isinstance(one, BaseException) and depth:
            yield from _chain(one, depth - 1)
            return


def _understood(status: int, headers: Mapping[str, str], body: bytes, whole: bool) -> Answer:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if 200 <= status < 300:
        partial = _partial(kind, body) if whole else None
        if partial is None:
            return Answer("unknown", f"it answered {status} with what is no OTLP ({kind or 'of no type'})")
        rejected, says = partial
        return Answer("taken", says, None, rejected)
    says = f"it answered {status}"
    if message := _message(kind, body):
        says += f": {message}"
    elif status in _HINTS:
        says += f" ({_HINTS[status]})"
    elif 300 <= status < 400:
        says += f" (it has moved to another URL: {urlsplit(headers.get('location', '')).hostname or 'it does not say'})"
    return Answer("refused" if status in _OF_THE_BATCH else "later", says, _retry_after(headers.get("retry-after")))


def _partial(kind: str, body: bytes) -> tuple[int, str] | None:
    """How many spans were rejected of those that were taken, and why; None if that is no answer to spans."""
    if not body.strip():
        return 0, ""
    try:
        if kind == "application/json":
            given = json.loads(body)
            if not isinstance(given, dict):
                return None
            told = given.get("partialSuccess") or {}
            return max(0, int(told.get("rejectedSpans") or 0)), str(told.get("errorMessage") or "")[:_SAYS_CHARACTERS]
        if kind in ("application/x-protobuf", "application/protobuf", "application/octet-stream", ""):
            answer = ExportTraceServiceResponse.FromString(body)
            partial = answer.partial_success
            known = partial.rejected_spans or partial.error_message or answer.HasField("partial_success")
            if not known:
                return None
            return max(0, partial.rejected_spans), partial.error_message[:_SAYS_CHARACTERS]
    except Exception:  # noqa: BLE001 - of protobuf, of json, of numbers
        return None
    return None


def _message(kind: str, body: bytes) -> str:
    """What a refusal says in words, as far as it does."""
    try:
        if kind in ("application/x-protobuf", "application/protobuf"):
            from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

            return str(Status.FromString(body).message)[:_SAYS_CHARACTERS]
        if kind in ("application/json", "text/plain"):
            return " ".join(body[: 4 * _SAYS_CHARACTERS].decode("utf-8", "replace").split())[:_SAYS_CHARACTERS]
    except Exception:  # noqa: BLE001 - of protobuf
        return ""
    return ""


def _retry_after(given: str | None) -> float | None:
    """Seconds, as RFC 9110 writes them: a number, or a date."""
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, seconds), _RETRY_AFTER_MAX_S) if seconds == seconds else None

"""`init`, `flush` and `shutdown`: what a program says about the recorder as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from opentelemetry import trace as otel_trace

from agentops.errors import UsageError
from agentops.recorder.recorder import recorder

if TYPE_CHECKING:
    from agentops.exporters.target import Target
    from agentops.prices import PricedCall
    from agentops.redaction.redactor import Redactor

__all__ = ["flush", "init", "price", "shutdown"]

F = TypeVar("F", bound="Callable[[PricedCall], object]")


def init(
    *,
    store: str | None = None,
    redact: str | Redactor | Callable[[str], str] | None = None,
    otel: bool = False,
    enabled: bool | None = None,
    quiet: bool | None = None,
    max_bytes: int | str | None = None,
    max_age: int | str | None = None,
    watch_after: float | None = None,
    watch_memory: bool | None = None,
    export: str | Target | Sequence[str | Target] | None = None,
    prices: Mapping[str, object] | None = None,
) -> None:
    """Change the defaults. Nothing has to be set up: without it `span` records into the nearest store.

    Args:
        store: path of the store's file; see `agentops.store.location.find_store` for what holds without it.
        redact: "pii" takes personal data and secrets out of everything before it is written (it needs
            `pip install 'agentops-recorder[pii]'`), "secrets" those alone, "off" nothing; a `Redactor` says more. Or a
            function, called on the program's own thread with every text (values, keys, names, messages): what it
            returns is recorded. What cannot be checked, because that raises, is withheld.
        otel: also record the spans that other libraries make through OpenTelemetry. If the application
            has no tracer provider, ours is put in force, in a way that lets it set its own later.
        enabled: False switches recording off.
        quiet: True leaves out the line on standard error that says where is recorded.
        max_bytes: room for the store, as a number of bytes or a text such as "5GB"; 0 for no bound. When it is used
            up, the oldest runs go, clean ones before those that failed or have a score. It holds for all that record
            into this store until somebody sets another.
        max_age: how old runs may become, in days or as a text such as "30d"; 0, the default, for no bound.
        watch_after: seconds after which the stacks of all threads are noted on a span that is still open, and
            again at twice that, and so on; 30 without it, 0 for never.
        watch_memory: False leaves out noting them when the program's memory grows past most of its limit, or a
            first GB and each doubling of that.
        export: where each span is sent when it has ended: the URL of an OTLP receiver, "otlp" for the one that
            OpenTelemetry's variables name, "console" for a line on standard error, a `Target`, or several of these;
            "off" for nowhere. A thread of ours sends from the store, and what cannot be sent now waits there.
        prices: US dollars for a million tokens by model (or a pattern of models), before those of the list:
            `{"my-model*": {"input": 0.8, "output": "2.4", "cache_read": 0.08}}`. They hold in this process, in the
            place of those in `agentops.toml`, which hold for all that record and read there; see `agentops prices`.

    Raises:
        SettingError: a value, an environment variable or `agentops.toml` cannot be used. Only an `export` of these two
            never keeps a program from running: it is said, and what is recorded stays in the store.
        UsageError: `redact` or `export` is none of these, or what it needs is not installed.
    """
    named = redact if isinstance(redact, str) else None
    if redact is not None and named is None and not callable(redact) and not hasattr(redact, "may_hold"):
        raise UsageError(f'redact is "pii", "secrets", a Redactor or a function of text, not {type(redact).__name__}')
    if named == "pii":
        from agentops.redaction.presidio import missing

        if problem := missing():
            raise problem
    recorder.configure(
        None if isinstance(redact, str) else redact,
        redact=named,
        store=store,
        enabled=enabled,
        quiet=quiet,
        max_bytes=max_bytes,
        max_age=max_age,
        watch_after=watch_after,
        watch_memory=watch_memory,
        export=export,
        prices=prices,
    )
    if otel and otel_trace._TRACER_PROVIDER is None:
        from agentops.trace.joined import own_provider

        # Assigned, not set: OpenTelemetry lets a provider be set once, and that is the application's.
        otel_trace._TRACER_PROVIDER = own_provider()
    if otel:
        from agentops.trace.span import look_at_provider

        look_at_provider()  # one that the application has set already is joined now, not at our first span


def price(function: F) -> F:
    """Ask `function` first what a call of a model cost, on the thread that brings calls into the store; a decorator.

    Args:
        function: gets an `agentops.prices.PricedCall` (provider, model, when, tier, usage), gives US dollars as a
            `Decimal`, a text or a number, or None for what the lists say. What it raises is logged once, and the lists
            hold then. It is asked in this process: what another one brings in has the prices of the lists.

    Returns:
        `function` itself.
    """
    from agentops import prices

    prices.hooks = (*prices.hooks, function)
    return function


def flush(timeout: float | None = None) -> bool:
    """Wait until all that was recorded so far can be read from the store.

    Args:
        timeout: in seconds; None waits as long as it takes.

    Returns:
        True if all of it is readable.
    """
    return recorder.flush(timeout)


def shutdown(timeout: float | None = None) -> bool:
    """Bring all that was recorded into the store, packed and searchable, close the journal, and export what waits.

    It happens by itself at the program's end, there for at most half a second, and five where spans are exported and
    the target answers; what is left then goes in when somebody next reads, and out with the next program that exports
    there. A span after it opens a new journal.

    Args:
        timeout: in seconds; None waits as long as it takes.

    Returns:
        True if all of it is in the store, and sent if it is to be. A target that does not answer is not waited for.
    """
    return recorder.shutdown(timeout)

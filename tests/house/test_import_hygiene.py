"""What comes in with `import agentops`, the first span and a listing, seen in a fresh interpreter."""

from __future__ import annotations

from collections.abc import Callable

#: Each takes longer to import than all that recording needs.
HEAVY = (
    "anthropic",
    "genai_prices",
    "opentelemetry.sdk",
    "presidio_analyzer",
    "pydantic",
    "spacy",
    "sqlalchemy",
    "sqlmodel",
    "starlette",
    "textual",
    "uvicorn",
)
REPORT = "import sys\nprint([name for name in {heavy} if name in sys.modules])"
RECORD = "import agentops\nwith agentops.span('first', kind='llm', input=['x']) as s: s.output = 'y'\n"


def came_in(run: Callable[..., str], program: str, heavy: tuple[str, ...] = HEAVY) -> str:
    return run(program + "\n" + REPORT.format(heavy=heavy)).splitlines()[-1]


def test_importing_agentops_brings_in_nothing_heavy(run: Callable[..., str]) -> None:
    assert came_in(run, "import agentops") == "[]"


def test_the_first_span_brings_in_nothing_heavy(run: Callable[..., str]) -> None:
    assert came_in(run, RECORD) == "[]"


def test_writing_the_store_brings_in_nothing_heavy(run: Callable[..., str]) -> None:
    assert came_in(run, RECORD + "agentops.shutdown()") == "[]"


def test_all_public_names_together_bring_in_nothing_heavy(run: Callable[..., str]) -> None:
    assert came_in(run, "import agentops\nfor name in agentops.__all__: getattr(agentops, name)") == "[]"


def test_a_listing_decodes_nothing_when_no_journal_waits(run: Callable[..., str]) -> None:
    run(RECORD + "agentops.shutdown()")
    run("from agentops.store.reader import Reader\nReader().close()")  # what exit left, if anything
    listing = (
        "import sys\nsys.argv = ['agentops', 'ls']\nfrom agentops.cli.main import main\n"
        "try: code = main()\nexcept SystemExit as end: code = end.code\n"
        "assert not code, code\n"
    )
    assert came_in(run, listing, ("msgspec", *HEAVY)) == "[]"

"""Runs a program twice, with agentops' calls in it and with them taken out, and compares what came of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentops.store.reader import Reader
from agentops.store.rows import TraceRow
from agentops.store.stats import StatsRow
from tests.foreign.servers import serving

HERE = Path(__file__).parent
OURS = "agentops"
#: What agentops says on standard error when nothing is wrong.
SAYS = ("agentops: records into", "agentops: recording", "agentops: run ")


@dataclass
class Outcome:
    """What a program's exporter got, and what is in our store."""

    exported: list[dict[str, Any]]
    stored: list[dict[str, Any]]
    store: Path

    @property
    def traces(self) -> list[TraceRow]:
        with Reader(str(self.store)) as reader:
            return list(reader.iter_traces())

    @property
    def stats(self) -> StatsRow:
        with Reader(str(self.store)) as reader:
            return reader.stats().total

    @property
    def theirs(self) -> list[Any]:
        """What the exporter got of others, as a tree from which spans of ours are taken out."""
        return tree(self.exported, lambda one: one["scope"] != OURS)

    @property
    def orphans(self) -> list[str]:
        """Names of exported spans whose parent the exporter never saw."""
        known = {one["id"] for one in self.exported}
        return [one["name"] for one in self.exported if one["parent"] and one["parent"] not in known]

    def check_one_tree_in_both_places(self) -> None:
        """Each span is exported once and stored once, with the same ids, parents and names."""
        exported = Counter((one["trace"], one["id"], one["parent"], one["name"]) for one in self.exported)
        stored = Counter((one["trace_id"], one["span_id"], one["parent_span_id"], one["name"]) for one in self.stored)
        assert exported == stored
        assert set(exported.values()) == {1}
        assert not self.orphans

    @property
    def stored_like(self) -> list[Any]:
        """What the exporter got of others, as far as our store has a place for it."""
        return _as_stored(self.theirs)

    @property
    def stored_theirs(self) -> list[Any]:
        """As `stored_like`, from the store; the programs call theirs `ours ...`."""
        spans = [
            {
                "id": one["span_id"],
                "parent": one["parent_span_id"],
                "name": one["name"],
                "scope": "",
                "kind": "",
                "message": "",
                "status": "ERROR" if one["status"] == "error" else "OK",
                "attributes": one["attributes"],
                "events": one["events"],
            }
            for one in self.stored
        ]
        return _as_stored(tree(spans, lambda one: not one["name"].startswith("ours")))

    def check_the_store_says_what_the_exporter_got(self) -> None:
        """Names, parents, attributes, events and status of others' spans."""
        assert self.stored_theirs == self.stored_like

    def parents(self) -> dict[str, str | None]:
        """Of what is stored, by name; for programs in which each name is there once."""
        names = {one["span_id"]: one["name"] for one in self.stored}
        assert len(set(names.values())) == len(self.stored), sorted(one["name"] for one in self.stored)
        return {one["name"]: names.get(one["parent_span_id"], one["parent_span_id"]) for one in self.stored}


def tree(spans: list[dict[str, Any]], keep: Callable[[dict[str, Any]], bool]) -> list[Any]:
    """The spans as nested lists, in an order that does not hang on ids; what is not kept has its children moved up."""
    by_id = {one["id"]: one for one in spans}
    below: dict[str | None, list[dict[str, Any]]] = {}
    for one in spans:
        if keep(one):
            parent = one["parent"]
            while parent in by_id and not keep(by_id[parent]):
                parent = by_id[parent]["parent"]
            below.setdefault(parent if parent in by_id else None, []).append(one)

    def nested(parent: str | None) -> list[Any]:
        found = [[_facts(one), nested(one["id"])] for one in below.get(parent, ())]
        return sorted(found, key=lambda pair: json.dumps(pair, sort_keys=True))

    return nested(None)


def _facts(one: dict[str, Any]) -> dict[str, Any]:
    facts = {key: one[key] for key in ("name", "scope", "kind", "status", "message", "attributes", "events")}
    found: dict[str, Any] = json.loads(VARYING_TEXT.sub("varies", json.dumps(facts, sort_keys=True)))
    found["events"] = [{"name": event["name"], "attributes": event["attributes"] or {}} for event in found["events"]]
    for holder in (found, *found["events"]):
        holder["attributes"] = {
            key: "varies" if key in VARYING else value
            for key, value in holder["attributes"].items()
            if key not in NOT_COMPARED
        }
    return found


def _as_stored(nested: list[Any]) -> list[Any]:
    return [
        [
            {
                "name": facts["name"],
                "failed": facts["status"] == "ERROR",
                "attributes": facts["attributes"],
                "events": facts["events"],
            },
            _as_stored(below),
        ]
        for facts, below in nested
    ]


#: A stack shows lines of ours, too. And Langfuse marks the topmost span that it exports, which may be one of ours.
NOT_COMPARED = ("exception.stacktrace", "langfuse.internal.is_app_root")
#: What differs from run to run without us too.
VARYING = ("gen_ai.response.time_to_first_chunk", "server.port", "net.peer.port")
VARYING_TEXT = re.compile(
    r"127\.0\.0\.1:\d{4,}|\b(req|msg|toolu)_[0-9a-f]+|\b0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f]{4}-[-0-9a-f]{22}"
    r'|Traceback \(most([^"\\]|\\.)*'
)

#: What the proofs install beside agentops, each of them the real package.
PACKAGES = (
    "anthropic==2.14.0",
    "arize-phoenix-otel==0.17.2",
    "langchain-core==1.8.3",
    "langfuse==5.0.4",
    "logfire==5.4.0",
    "mcp==2.3.0",
    "openai==3.57.0",
    "openinference-instrumentation-anthropic==3.1.0",
    "openinference-instrumentation-langchain==0.1.80",
    "openinference-instrumentation-openai==0.1.66",
    "opentelemetry-instrumentation-anthropic==0.62.4",
    "opentelemetry-instrumentation-asyncio==0.66b1",
    "opentelemetry-instrumentation-genai-anthropic==1.3b0",
    "opentelemetry-instrumentation-httpx==0.66b1",
    "opentelemetry-instrumentation-logging==0.66b1",
    "opentelemetry-instrumentation-sqlite3==0.66b1",
    "opentelemetry-instrumentation-threading==0.66b1",
    "opentelemetry-instrumentation-urllib3==0.66b1",
)


@pytest.fixture(scope="session")
def foreign() -> str:
    """A Python with agentops from this checkout and other people's packages; made once, kept beside our own."""
    wanted = "\n".join(PACKAGES).encode() + (HERE.parents[1] / "pyproject.toml").read_bytes()
    folder = Path(sys.prefix) / "foreign" / hashlib.sha256(wanted).hexdigest()[:12]
    python, made = folder / "bin" / "python", folder / "made"
    if not made.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        checkout = f"{HERE.parents[1]}[anthropic,otel]"
        subprocess.run([python, "-m", "pip", "install", "-qq", "-e", checkout, *PACKAGES], check=True)
        made.touch()
    return str(python)


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    """A line for programs that says where servers are, see `tests.foreign.servers`."""
    with serving() as line:
        yield line


@pytest.fixture
def outcome(tmp_path: Path, read: Callable[[Path], list[dict[str, Any]]]) -> Callable[..., Outcome]:
    """Runs a program over `application`."""

    def outcome(
        body: str,
        *,
        without: bool = False,
        python: str = sys.executable,
        under: tuple[str, ...] = (),
        **environment: str,
    ) -> Outcome:
        where = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        where.mkdir()
        (where / "program.py").write_text("from application import *\n" + textwrap.dedent(body))
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AGENTOPS_", "OTEL_", "ANTHROPIC_", "OPENAI_", "LANGFUSE_", "LOGFIRE_", "PHOENIX_"))
        }
        done = subprocess.run(
            [*under, python, "program.py"],
            cwd=where,
            env={
                **kept,
                "PYTHONPATH": str(HERE),
                "PYTHONDONTWRITEBYTECODE": "1",
                "AGENTOPS_STORE": str(where / "traces.db"),
                "AGENTOPS_RAISE": "1",
                "NO_PROXY": "127.0.0.1",
                "EXPORTED": str(where / "exported.json"),
                **({"WITHOUT": "1"} if without else {}),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stderr.splitlines() if not line.startswith(SAYS)]
        assert not any("agentops" in line for line in lines), done.stderr
        exported = json.loads((where / "exported.json").read_text())
        return Outcome(exported, read(where / "traces.db") if under or not without else [], where / "traces.db")

    return outcome


@pytest.fixture
def compared(outcome: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Runs a program with agentops and without; what the application's exporter gets of others must be the same."""

    def compared(body: str, **options: Any) -> Outcome:
        without = outcome(body, without=True, **options)
        found = outcome(body, **options)
        assert found.theirs == without.theirs
        assert len(found.orphans) <= len(without.orphans)
        return found

    return compared

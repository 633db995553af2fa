"""`agentops show`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentops.cli.schemas import SCHEMAS

Agentops = Callable[..., Any]


def test_a_run_is_a_tree_with_durations_tokens_and_errors(agentops: Agentops, shop: Path, refund: str) -> None:
    done = agentops("show", refund[:10], store=shop)
    assert (done.code, done.err) == (0, "")
    title, facts, root, ask, pay, score = done.lines
    assert title.startswith(f"{refund[:8]}  refund ticket  ")
    assert re.fullmatch(
        r"ok · .* · 3 spans · 1\.1k tokens · \$0\.0019 · 1 error · session s-1 · user ada · #prod", facts
    )
    assert root.startswith("  agent refund ticket ")
    assert ask.startswith("  ├─ llm ask model ") and ask.endswith(" 1.1k  $0.0019")
    assert pay.startswith("✗ └─ tool pay ") and pay.endswith("ValueError: card was declined")
    assert score == "score: helpful = 0.25  too slow"


def test_in_ascii_the_tree_has_lines_of_ascii(agentops: Agentops, shop: Path, refund: str) -> None:
    out = agentops("show", refund, "--ascii", store=shop).out
    assert out.replace("µs", "us").isascii()
    assert "  |- llm ask model" in out and "x `- tool pay" in out


def test_the_latest_run_needs_no_id(agentops: Agentops, shop: Path) -> None:
    assert "greet 2" in agentops("show", "latest", store=shop).lines[0]


def test_content_is_shown_whole(agentops: Agentops, shop: Path, refund: str) -> None:
    out = agentops("show", refund, "--content", store=shop).out
    assert "word " * 2000 + "the very end" in out
    assert '"content": "Please refund order 4711"' in out
    assert "amount" in out
    assert "gen_ai.request.model: claude-haiku-4-5" in out
    assert re.search(r'event after .*: first token \{"n": 1\}', out)
    assert "Traceback (most recent call last):" in out
    assert '"build": 7' in out


@pytest.mark.parametrize("form", [[], ["--plain"], ["--md"], ["--json"]])
def test_in_every_form_content_has_all_of_it(agentops: Agentops, record: Any, form: list[str]) -> None:
    record("with span('a', input={'deep': {'list': [str(n) for n in range(3000)]}}) as s: s.output = 'z' * 100_000")
    out = agentops("show", "latest", "--content", *form).out
    assert "z" * 100_000 in out
    assert all(f'"{n}"' in out for n in range(3000))


def test_for_a_screen_reader_the_tree_is_sentences_without_lines_and_glyphs(
    agentops: Agentops, shop: Path, refund: str
) -> None:
    done = agentops("show", refund, "--plain", "--content", store=shop)
    assert not re.search("[\u2500-\u259f✗●○·…]", done.out)
    assert re.search(r"^Trace [0-9a-f]{8}, refund ticket, ok, .*, 3 spans, .*, user ada, #prod\.$", done.out, re.M)
    assert re.search(r"^  Level 2: llm ask model, ok, took .*, 1100 tokens\.$", done.out, re.M)
    assert re.search(r"^  Level 2: tool pay, error, took .*, error ValueError: card was declined\.$", done.out, re.M)


def test_as_markdown_it_is_a_list_to_paste(agentops: Agentops, shop: Path, refund: str) -> None:
    lines = agentops("show", refund, "--md", store=shop).lines
    assert lines[0] == f"### refund ticket `{refund[:8]}`"
    assert any(line.startswith("- **agent** refund ticket · ok · ") for line in lines)
    assert any(line.startswith("  - **tool** pay · error · ") for line in lines)


def test_in_markdown_a_name_is_no_markup_and_content_cannot_leave_its_fence(agentops: Agentops, record: Any) -> None:
    record(
        """
        with span("<img src=x> [link](http://evil) *bold* `code`", kind="agent"):
            with span("inner", input="````\\n# a heading\\n~~~~\\n`````"): pass
        """
    )
    out = agentops("show", "latest", "--md", "--content").out
    assert not re.search(r"(?<!\\)(<img|\[link|\*bold)", out)
    fences = [line.strip() for line in out.splitlines() if line.strip().startswith("``````")]
    assert fences == ["``````text", "``````"]
    assert "`````\n" in out


def test_as_json_it_is_what_the_schema_says(agentops: Agentops, shop: Path, refund: str) -> None:
    for words in ([], ["--content"]):
        found = agentops("show", refund, "--json", *words, store=shop).object
        SCHEMAS["show"].model_validate(found, strict=True)
        assert [(span["name"], span["depth"]) for span in found["spans"]] == [
            ("refund ticket", 0), ("ask model", 1), ("pay", 1),
        ]  # fmt: skip
        assert found["spans"][1]["parent_span_id"] == found["spans"][0]["span_id"]
        assert found["scores"][0]["comment"] == "too slow"


def test_a_span_whose_parent_was_not_recorded_says_so(agentops: Agentops, record: Any) -> None:
    record(
        """
        from opentelemetry import trace as otel
        far = otel.SpanContext(0x1234 << 100, 0x77, True, otel.TraceFlags(1))
        from opentelemetry.context import attach
        attach(otel.set_span_in_context(otel.NonRecordingSpan(far)))
        with span("served", kind="agent"): pass
        """
    )
    assert "(its parent was not recorded here)" in agentops("show", "latest").out
    assert "its parent was not recorded here." in agentops("show", "latest", "--plain").out
    found = agentops("show", "latest", "--json").object
    assert found["spans"][0]["parent_span_id"] == f"{0x77:016x}"


def test_a_run_of_many_levels_is_shown_to_its_end(agentops: Agentops, record: Any) -> None:
    record(
        """
        open_spans = [span(f"level {n}").__enter__() for n in range(1500)]
        for one in reversed(open_spans): one.__exit__(None, None, None)
        """
    )
    for form in ([], ["--plain"], ["--md"], ["--content"], ["--json"]):
        done = agentops("show", "latest", *form)
        assert done.code == 0
        assert "level 1499" in done.out


def test_plain_and_markdown_at_once_are_called_wrongly(agentops: Agentops, shop: Path) -> None:
    assert agentops("show", "latest", "--plain", "--md", store=shop).code == 2


def test_on_a_narrow_terminal_nothing_is_wrapped_in_the_middle(record: Any) -> None:
    import pty
    import subprocess
    import sys
    import termios

    store = record(
        """
        try:
            with span("answer", kind="agent"):
                with span("a tool with a long name", kind="tool", input="x"):
                    raise ValueError("the service said that the order " + "could not be found " * 4)
        except ValueError: pass
        """
    )
    for words in (["show"], ["ls"], ["ls", "--spans"], ["stats", "--by", "name"], ["why"]):
        ours, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (24, 60))
        environment = {**os.environ, "AGENTOPS_STORE": str(store), "NO_COLOR": "1"}
        command = [sys.executable, "-m", "agentops.cli.main", *words]
        with subprocess.Popen(command, env=environment, stdout=terminal, stderr=terminal) as process:
            os.close(terminal)
            seen = b""
            try:
                while piece := os.read(ours, 4096):
                    seen += piece
            except OSError:  # how Linux says that the other end is closed
                pass
        os.close(ours)
        lines = seen.decode().splitlines()
        assert process.returncode == 0, lines
        assert max(map(len, lines)) <= 60, lines
        if words == ["show"]:
            assert sum("ValueError" in line for line in lines) == 1, "it is told where it happened"


def test_what_is_new_in_each_model_call_is_told(agentops: Agentops, record: Any) -> None:
    record(
        """
        with span("answer", kind="agent"):
            for given in ([1], [1, 2], [1, 2, 3]):
                with span("ask", kind="llm", input=given, attributes={"gen_ai.usage.input_tokens": 10 * len(given)}):
                    pass
        """
    )
    found = agentops("show", "latest", "--json").object
    context = found["context"]
    assert context["tokens_per_turn"] == 10
    assert [(turn["messages"], turn["new_messages"]) for turn in context["turns"]] == [(1, 1), (2, 1), (3, 1)]
    ids = [turn["span_id"] for turn in context["turns"]]
    assert [turn["goes_on_from"] for turn in context["turns"]] == [None, *ids[:2]]

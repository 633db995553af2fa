"""Makes the pictures of this folder anew: `python docs/pictures/make.py`, from the root of the repository.

The run is made up, its times too; it is imported into a store of its own, opened in the explorer and drawn.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
import time
from html import escape
from pathlib import Path
from typing import Any

from rich.cells import cell_len

_HERE = Path(__file__).parent
_SIZE = (120, 25)
_TRACE = "5e7a19c2" * 4
_START = 1_795_500_000 * 10**9
#: No font is fetched: whoever looks uses one that is there.
_FONTS = "ui-monospace, 'JetBrains Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace"
_CELL, _LINE, _BASE = 10, 22, 16  # of a character, and where letters stand on
#: Glyphs that are drawn: left, top, width and height in parts of a cell.
_BLOCKS = {
    **{glyph: (0.0, 0.0, eighths / 8, 1.0) for eighths, glyph in enumerate("▏▎▍▌▋▊▉█", 1)},
    "▐": (0.5, 0.0, 0.5, 1.0), "▕": (0.875, 0.0, 0.125, 1.0), "─": (0.0, 0.48, 1.0, 0.05),
}  # fmt: skip
_ALT = "The explorer at a run whose tool failed: its spans as a tree with a waterfall, the failed call beside it"
_TICKET = "The kettle from order HH-2041 came with a cracked lid. I would like my money back, please."
_REFUND = {"order": "HH-2041", "amount": 49.90, "currency": "EUR", "reason": "damaged on arrival"}
_LATE = "TimeoutError: payment service did not answer in 2 s"


def _spans() -> list[dict[str, Any]]:
    """A support agent that asks for a refund three times, and does not get it."""
    made: list[dict[str, Any]] = []

    def span(parent: int | None, name: str, kind: str, start: float, took: float, **more: Any) -> int:
        error = more.pop("error", "")
        tokens = more.pop("tokens", None)
        kind_of, _, message = error.partition(": ")
        made.append(
            {
                "trace_id": _TRACE, "span_id": f"{len(made) + 1:016x}", "name": name, "kind": kind,
                "parent_span_id": None if parent is None else f"{parent + 1:016x}",
                "start_time_unix_nano": _START + int(start * 1e9),
                "end_time_unix_nano": _START + int((start + took) * 1e9),
                "status": "error" if error else "ok",
                "exception": {"type": kind_of, "message": message} if error else None,
                "attributes": {"gen_ai.request.model": "claude-haiku-5-5"} if kind == "llm" else {},
                "usage": {"input_tokens": tokens[0], "output_tokens": tokens[1]} if tokens else None,
                "cost_usd": (tokens[0] + 5 * tokens[1]) / 1e6 if tokens else None,
                **more,
            }
        )  # fmt: skip
        return len(made) - 1

    def chat(parent: int, start: float, took: float, tokens: tuple[int, int], says: str) -> None:
        asked = [{"role": "user", "content": _TICKET}]
        span(parent, "chat claude-haiku-5-5", "llm", start, took, tokens=tokens, input=asked, output=says)

    root = span(None, "answer ticket", "agent", 0, 17.3, input=_TICKET, error=_LATE, session="ticket-1042")
    plan = span(root, "plan", "plan", 0.0, 1.9, input="find the policy, refund, write to the customer")
    chat(plan, 0.05, 1.8, (389, 96), "look up the order, check the policy, refund, answer")
    loop = span(root, "solve", "loop", 1.9, 15.4, error=_LATE)
    one = span(loop, "iteration 1", "chain", 1.9, 2.2, input="which policy is it?")
    chat(one, 1.9, 1.7, (456, 60), "search the policies")
    span(one, "search_policies", "retrieval", 3.6, 0.5, input="damaged on arrival", output=["refunds.md"])
    two = span(loop, "iteration 2", "chain", 4.1, 2.0, input="what was ordered?")
    chat(two, 4.1, 1.6, (744, 54), "look up HH-2041")
    span(two, "lookup_order", "tool", 5.7, 0.4, input={"order": "HH-2041"}, output={"item": "glass kettle, 1.2 l"})
    for n, (start, think, tokens) in enumerate(
        ((6.1, 1.4, (894, 88)), (9.5, 1.3, (1012, 91)), (12.9, 2.4, (1130, 93)))
    ):
        last = n == 2
        turn = span(loop, f"iteration {n + 3}", "chain", start, think + 2.0, input="the refund is allowed",
                    error=_LATE if last else "")  # fmt: skip
        chat(turn, start, think, tokens, "The policy allows it: I refund the order." if not n else "I try once more.")
        span(turn, "issue_refund", "tool", start + think, 2.0, input=_REFUND, error=_LATE)
    return made


async def _screen(store: str) -> list[Any]:
    """What is on the explorer's screen, as Textual's strips."""
    from agentops_tui.app import Explorer

    app = Explorer(store, trace=_TRACE)
    end = time.monotonic() + 20
    async with app.run_test(size=_SIZE) as pilot:
        while time.monotonic() < end:
            await pilot.pause(0.05)
            strips: list[Any] = app.screen._compositor.render_strips()
            text = "\n".join(strip.text for strip in strips)
            if "this tool in this run" in text and "the refund" in text:
                return strips
    raise SystemExit(f"the run did not come up:\n{text}")


def _svg(strips: list[Any]) -> str:
    """The cells as rectangles and words; blocks are drawn, and each word is as wide as its cells in any font."""
    width, height = _SIZE[0] * _CELL, _SIZE[1] * _LINE
    shapes: list[str] = []
    words: list[str] = []
    for line, strip in enumerate(strips):
        x, y = 0, line * _LINE
        for text, style, _ in strip:
            shapes.append(_rectangle(x, y, cell_len(text) * _CELL, _LINE, style.bgcolor.name))
            for word in re.finditer(r"\S+(?: \S+)*", text):
                at = x + cell_len(text[: word.start()]) * _CELL
                if set(word.group()) <= set(_BLOCKS):
                    for n, glyph in enumerate(word.group()):
                        left, top, wide, high = _BLOCKS[glyph]
                        shapes.append(
                            _rectangle(at + n * _CELL + left * _CELL, y + top * _LINE, wide * _CELL, high * _LINE,
                                       style.color.name)
                        )  # fmt: skip
                    continue
                more = ' font-weight="bold"' if style.bold else ""
                more += ' text-decoration="underline"' if style.underline else ""
                words.append(
                    f'<text x="{at}" y="{y + _BASE}" fill="{style.color.name}" lengthAdjust="spacingAndGlyphs"'
                    f' textLength="{cell_len(word.group()) * _CELL}"{more}>{escape(word.group())}</text>'
                )
            x += cell_len(text) * _CELL
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{_ALT}">',
            "<style>text { font: 16.6px " + _FONTS + "; white-space: pre; }</style>",
            '<g shape-rendering="crispEdges">', *shapes, "</g>", '<g>', *words, "</g>",
            "</svg>", "",
        ]
    )  # fmt: skip


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{colour}"/>'


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, spans = os.path.join(folder, "traces.db"), Path(folder, "run.jsonl")
        spans.write_text("".join(json.dumps(span) + "\n" for span in _spans()))
        os.environ["AGENTOPS_STORE"] = store
        from agentops.cli.main import main as agentops

        if agentops(["import", str(spans)]):
            raise SystemExit("the run could not be imported")
        svg = _svg(asyncio.run(_screen(store)))
    (_HERE / "explorer.svg").write_text(svg)


if __name__ == "__main__":
    main()

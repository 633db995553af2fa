"""Text from models and tools, made harmless for a terminal.

What a model or a tool said may hold escape sequences that retitle or repaint a terminal, bidirectional
overrides that turn the order of a name around, or zero-width characters that hide a difference. All of
them are shown as visible escapes here; everything that prints stored text goes through this module.
"""

from __future__ import annotations

import re

__all__ = ["block", "line"]

# C0 and C1 controls, DEL, bidi controls, zero-width and other invisible format characters, line and
# paragraph separators, surrogates, tag characters. Newline and tab are handled by the callers.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def block(text: str) -> str:
    """`text` with every control, bidi and invisible character shown as an escape; newlines and tabs stay."""
    return _UNSAFE.sub(_visible, text)


def line(text: str, width: int | None = None) -> str:
    """`text` on one line: newlines and tabs too are shown as escapes.

    Args:
        text: any text.
        width: at most this many characters, the last of them `…` where something was left out.
    """
    if width is not None and len(text) > 8 * width + 64:
        text = text[: 8 * width + 64]  # an escape is at most 10 characters: no need to look at more
    text = _UNSAFE.sub(_visible, text).replace("\n", "\\n").replace("\t", "\\t")
    if width is not None and len(text) > width:
        text = text[: max(0, width - 1)] + "…"
    return text

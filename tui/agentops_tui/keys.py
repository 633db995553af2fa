"""All keys, once: bindings, footer and help come from here."""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding, BindingType

__all__ = ["KEYS", "Key", "bindings", "shown"]


class Key(NamedTuple):
    """What a key does where.

    place: `app` everywhere; `rows` in every list; `list`, `tree`, `detail`: in that widget; `traces`, `trace`, `value`:
        on that screen.
    keys: as Textual names them, with commas.
    action: method of the widget or screen, without `action_`.
    label: how the footer and the help name the keys.
    word: what the footer says; without one it is in the help alone.
    help: what the help says.
    """

    id: str
    place: str
    keys: str
    action: str
    label: str
    help: str
    word: str = ""


KEYS = (
    Key("rows.up", "rows", "up,k", "move(-1)", "↑ k", "up"),
    Key("rows.down", "rows", "down,j", "move(1)", "↓ j", "down", "move"),
    Key("rows.page_up", "rows", "pageup,ctrl+b", "page(-1)", "PgUp", "a page up"),
    Key("rows.page_down", "rows", "pagedown,ctrl+f", "page(1)", "PgDn", "a page down"),
    Key("rows.half_up", "rows", "ctrl+u", "page(-0.5)", "^u", "half a page up"),
    Key("rows.half_down", "rows", "ctrl+d", "page(0.5)", "^d", "half a page down"),
    Key("rows.first", "rows", "g,home", "first", "g", "to the first line; in the list, to the newest run again"),
    Key("rows.last", "rows", "G,end", "last", "G", "to the last line"),
    Key("list.open", "list", "enter,right,l", "choose", "⏎", "open the run", "open"),
    Key("list.filter", "traces", "slash", "filter", "/", "filter: status:error took>5s kind:tool words", "filter"),
    Key("list.error", "list", "e", "failed(1)", "e", "next run with an error, or cut off", "next failed"),
    Key("list.error_back", "list", "E", "failed(-1)", "E", "the failed run before"),
    Key("list.clear", "traces", "escape", "clear", "esc", "away with the filter"),
    Key("tree.fold", "tree", "left,h", "fold", "← h", "fold, or go to the line above", "fold"),
    Key("tree.unfold", "tree", "right,l", "unfold", "→ l", "unfold, or go to the first line below"),
    Key("tree.toggle", "tree", "space", "turn", "space", "fold or unfold"),
    Key("tree.fold_all", "tree", "minus", "fold_all", "-", "fold all"),
    Key("tree.unfold_all", "tree", "equals_sign,plus", "unfold_all", "=", "unfold all"),
    Key("tree.open", "tree", "enter", "choose", "⏎", "the span whole", "detail"),
    Key("trace.error", "trace", "e", "failed(1)", "e", "next error", "next error"),
    Key("trace.error_back", "trace", "E", "failed(-1)", "E", "the error before"),
    Key("trace.bars", "trace", "t", "bars", "t", "bars on or off", "bars"),
    Key("trace.pane", "trace", "tab", "pane", "tab", "between tree and detail", "pane"),
    Key("trace.tab_next", "detail", "right_square_bracket", "tab(1)", "]", "next tab of the detail"),
    Key("trace.tab_back", "detail", "left_square_bracket", "tab(-1)", "[ ]", "the tab before", "tabs"),
    Key("trace.back", "trace", "escape", "back", "esc", "back to the runs", "back"),
    Key("value.back", "value", "escape,enter", "back", "esc", "back to the tree", "back"),
    Key("filter.away", "filter", "escape", "away", "esc", "leave the list as it is", "leave"),
    Key("help.back", "help", "escape,q,question_mark", "back", "esc", "back", "back"),
    Key("detail.up", "detail", "up,k", "scroll(-1)", "↑ k", "scroll up"),
    Key("detail.down", "detail", "down,j", "scroll(1)", "↓ j", "scroll down", "scroll"),
    Key("detail.page_up", "detail", "pageup,ctrl+b", "page(-1)", "PgUp", "a page up"),
    Key("detail.page_down", "detail", "pagedown,ctrl+f,space", "page(1)", "PgDn", "a page down"),
    Key("detail.first", "detail", "g,home", "first", "g", "to the top"),
    Key("detail.last", "detail", "G,end", "last", "G", "to the bottom"),
    Key("rows.copy", "rows", "y", "copy", "y", "copy the id", "copy"),
    Key("detail.copy", "detail", "y", "copy", "y", "copy what the tab shows, as JSON", "copy"),
    Key("app.theme", "app", "T", "turn_theme", "T", "dark or light"),
    Key("app.help", "app", "question_mark", "help", "?", "all keys", "help"),
    Key("app.quit", "app", "q,ctrl+c", "quit", "q", "quit", "quit"),
)

#: What the footer of each screen or pane shows, most important first: no more than nine.
_FOOTER = {
    "traces": ("rows.down", "list.open", "list.filter", "list.error", "rows.copy", "app.help", "app.quit"),
    "trace": (
        "rows.down", "tree.fold", "trace.error", "trace.pane", "trace.bars", "rows.copy", "trace.back", "app.help",
    ),
    "narrow": (
        "tree.open", "tree.fold", "trace.error", "trace.bars", "rows.copy", "trace.back", "app.help",
    ),
    "detail": ("detail.down", "trace.tab_back", "trace.error", "trace.pane", "detail.copy", "trace.back", "app.help"),
    "value": ("detail.down", "trace.tab_back", "detail.copy", "value.back", "app.help"),
    "filter": ("filter.away",),
    "notice": ("app.help", "app.quit"),
    "help": ("help.back",),
}  # fmt: skip
_BY_ID = {key.id: key for key in KEYS}
_LABELS = {"rows.down": "↑↓", "tree.fold": "←→", "detail.down": "↑↓"}


def bindings(*places: str) -> list[BindingType]:
    """The bindings of a widget or a screen, with ids for a keymap."""
    return [Binding(key.keys, key.action, key.help, show=False, id=key.id) for key in KEYS if key.place in places]


def shown(footer: str) -> list[tuple[str, str]]:
    """Label and word of the keys that a footer names."""
    return [(_LABELS.get(name, _BY_ID[name].label), _BY_ID[name].word) for name in _FOOTER[footer]]

"""The explorer: which screen is on the terminal, and the two threads that it asks and hears from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual import on
from textual.app import App
from textual.message import Message

from agentops.errors import StoreError
from agentops.store.rows import TraceRow
from agentops_tui.keys import bindings
from agentops_tui.live import Changed, Clerk, Follower, Removed, Trouble
from agentops_tui.screens.traces import TracesScreen
from agentops_tui.theme import DARK, LIGHT, MONO, Palette, theme
from agentops_tui.widgets.footer import Footer

if TYPE_CHECKING:
    from agentops_tui.screens.trace import TraceScreen

__all__ = ["Explorer"]


class Found(Message):
    """The run that was to be opened at once."""

    def __init__(self, trace: TraceRow) -> None:
        super().__init__()
        self.trace = trace


class Explorer(App[None]):
    """The terminal explorer of one store.

    Args:
        store: path of the database file, which need not be there yet.
        reason: why this one is looked at.
        trace: id of a run to open at once, the beginning of one, or `latest`.
    """

    TITLE = "agentops"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = bindings("app")

    def __init__(self, store: str, reason: str = "", trace: str | None = None) -> None:
        mono = "NO_COLOR" in os.environ  # Textual takes it away
        super().__init__()
        self.animation_level = "none"
        self.palette: Palette = MONO if mono else DARK
        for palette in (DARK, LIGHT, MONO):
            self.register_theme(theme(palette))
        self.theme = self.palette.name
        self._traces = TracesScreen(store, reason)
        self._open: TraceScreen | None = None
        self._wanted = trace
        self.store = store
        self.clerk: Clerk
        self._follower: Follower

    def get_default_screen(self) -> TracesScreen:
        return self._traces

    def on_load(self) -> None:
        self.clerk = Clerk(self.store, self._hear)
        self._follower = Follower(self.store, self._hear)

    def on_mount(self) -> None:
        self._follower.start()
        if (wanted := self._wanted) is not None:
            self.clerk.ask("wanted", lambda reader: Found(reader.trace(wanted)))

    def on_unmount(self) -> None:
        self._follower.stop()
        self.clerk.stop()

    def _hear(self, message: Message) -> None:
        """From any thread; what comes after the end is nobody's."""
        try:
            self.post_message(message)
        except RuntimeError:
            pass

    # -- what comes in -------------------------------------------------------------------------------

    @on(Trouble)
    def _trouble(self, trouble: Trouble) -> None:
        if trouble.opening or (not self._traces.known and isinstance(trouble.problem, StoreError)):
            self._traces.tell_trouble(trouble.problem)
        elif trouble.problem is not None:
            self.say(f"✗ {trouble.problem}", "error")

    @on(Changed)
    def _changed(self, changed: Changed) -> None:
        self._traces.follow(changed)
        if self._open is not None:
            self._open.follow(changed)

    @on(Removed)
    def _removed(self, removed: Removed) -> None:
        self._traces.reload()
        if self._open is not None and self._open.no == removed.gone:
            while self.screen is not self._open:
                self.pop_screen()
            self.close_trace()
            self.say("this run was taken out of the store", "error")

    @on(Found)
    def _found(self, found: Found) -> None:
        self.open_trace(found.trace)

    # -- where the reader goes -----------------------------------------------------------------------

    def open_trace(self, trace: TraceRow) -> None:
        """Show one run."""
        from agentops_tui.screens.trace import TraceScreen

        self._follower.watch(trace.no)
        self._open = TraceScreen(trace)
        self.push_screen(self._open)

    def close_trace(self) -> None:
        """Back to the list."""
        self._follower.watch(None)
        self._open = None
        self.pop_screen()

    def copy(self, text: str, what: str) -> None:
        """To the terminal's clipboard (OSC 52), and say so."""
        self.copy_to_clipboard(text)
        self.say(f"copied {what}")

    def say(self, text: str, role: str = "text") -> None:
        """Say something in the last line of the screen, for some seconds."""
        for footer in self.screen.query(Footer):
            footer.say(text, role)

    def action_turn_theme(self) -> None:
        if self.palette is MONO:
            return
        self.palette = LIGHT if self.palette is DARK else DARK
        self.theme = self.palette.name
        self.screen.refresh(layout=True)
        for widget in self.screen.query("*"):
            widget.refresh()

    def action_help(self) -> None:
        from agentops_tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    async def action_quit(self) -> None:
        problem = self._traces.trouble
        self.exit(return_code=problem.exit_code if problem is not None else 0)

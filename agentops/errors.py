"""What can go wrong, as one small family.

    AgentopsError
      UsageError            called wrongly: an argument, a setting, a filter word
        FilterError         a word of the filter language, with its place in the line
        SettingError        agentops.toml, an environment variable or init()
        NotFound            no such trace or store
        CannotStart         the program of `agentops run` cannot be started
      StoreError            the store cannot be read or written
        StoreTooNew         written by a newer version: refused, left untouched
        StoreDamaged        SQLite says that the file is not a good database
        StoreBusy           another program holds the store's lock

None of these is ever raised into a program that is being watched: what goes wrong while recording is
logged once and counted; what was lost by it is noted in a journal (`agentops doctor` shows it).
"""

from __future__ import annotations

__all__ = [
    "AgentopsError",
    "CannotStart",
    "FilterError",
    "NotFound",
    "SettingError",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreTooNew",
    "UsageError",
]


class AgentopsError(Exception):
    """Base of all errors that agentops raises."""

    #: Exit code of the command line when this error ends a command.
    exit_code = 1


class UsageError(AgentopsError):
    """Something was called wrongly; the message says what to do instead."""

    exit_code = 2


class FilterError(UsageError):
    """A word of the filter language that cannot be understood.

    Args:
        message: what is wrong and what would be right.
        line: the whole filter as one line.
        start: place of the wrong word in `line`, counted from 0.
        end: place after its last character.
    """

    def __init__(self, message: str, line: str, start: int, end: int) -> None:
        super().__init__(message)
        self.line = line
        self.start = start
        self.end = end

    def __str__(self) -> str:
        mark = " " * self.start + "^" * max(1, self.end - self.start)
        return f"{self.args[0]}\n  {self.line}\n  {mark}"


class SettingError(UsageError):
    """A setting has a value that cannot be used; the message names where it came from."""


class NotFound(UsageError):
    """There is no such trace, span or store."""

    exit_code = 4


class CannotStart(UsageError):
    """A program cannot be started; the exit code is the one that shells use, 127 if there is none, 126 else.

    Args:
        command: what was to be started.
        problem: what the system said.
    """

    def __init__(self, command: str, problem: OSError) -> None:
        super().__init__(f"{command} cannot be started: {problem.strerror}")
        self.exit_code = 127 if isinstance(problem, FileNotFoundError) else 126


class StoreError(AgentopsError):
    """The store cannot be read or written."""

    exit_code = 3


class StoreTooNew(StoreError):
    """The store was written by a newer version of agentops and is left untouched."""


class StoreDamaged(StoreError):
    """SQLite says that the file is not a good database."""


class StoreBusy(StoreError):
    """Another program holds the store's lock for longer than we wait."""

"""`agentops audit`."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from agentops.cli.asking import sure
from agentops.errors import UsageError
from agentops.inert import line
from agentops.journal.names import is_journal_name
from agentops.settings import resolve
from agentops.store.location import find_store

if TYPE_CHECKING:
    import argparse

    from agentops.analysis.audit import Audit
    from agentops.cli.output import Output
    from agentops.redaction.looking import Look

HELP = """Look through every byte of the store, its journals and what lies beside it under its name (all that is in a
.agentops/) for what redaction would take out, and for texts that must not be there. Compressed contents are opened.
Says where it is, never what it is, and exits with 1 if there is something.

--fix writes the store anew without it: for stores that were recorded before redaction was turned on. Programs that
record go on; they are asked to begin new journals, which takes some seconds. Copies that you made (exports, backups,
stores that were set aside) are yours to delete.

  agentops audit
  agentops audit --fix
  agentops audit traces.jsonl --redact secrets --canary "4012 8888 8888 1881\""""

#: Places that are shown; --json has all.
_SHOWN_MAX = 20
_PATIENCE_S = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="*", metavar="FILE", help="exports, stores or folders, instead of the store")
    parser.add_argument(
        "--canary", action="append", default=[], metavar="TEXT", help="a text that must not be anywhere; several times"
    )
    parser.add_argument(
        "--redact", choices=("pii", "secrets"), help="what is looked for; as set, pii where nothing is set"
    )
    parser.add_argument("--fix", action="store_true", help="write the store anew without what is found")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(given: argparse.Namespace, out: Output) -> int:
    from agentops.analysis.audit import Audit, files_of, walk

    redact, look = _look(given)
    store = None if given.file else find_store()
    fixed: dict[str, Any] | None = None
    held: list[str] = []
    if given.fix:
        stores = [str(store)] if store else [_store(file) for file in given.file]
        names = ", ".join(line(look.without_canaries(name), 200) for name in stores)
        if not given.yes and not sure(f"take out of {names} what is found"):
            return 1
        fixed = {"contents": 0, "spans": 0, "others": 0}
        for path in stores:
            held += _fix(path, look, fixed)
    waiting = _Waiting()
    audit = Audit(look, waiting.tell)
    for path in [path for file in given.file for path in walk(_existing(file))] or files_of(str(store)):
        audit.file(path)
    waiting.end()
    if out.json:
        out.object(
            {
                "redact": redact,
                "files": audit.files,
                "bytes": audit.bytes,
                "kinds": dict(sorted(audit.kinds.items())),
                "findings": [finding._asdict() for finding in audit.findings],
                "more": audit.more,
                "fixed": fixed,
                "held": held,
            }
        )
    else:
        _print(out, audit, redact, fixed, held)
    return 1 if audit.kinds or held else 0


def _look(given: argparse.Namespace) -> tuple[str, Look]:
    """What is looked for: as given, as set, personal data and secrets where nothing is set.

    Raises:
        UsageError: what it needs is not installed, or a canary is too short.
    """
    from agentops.redaction.looking import Look
    from agentops.redaction.presidio import missing
    from agentops.redaction.redactor import redactor_named

    redact = given.redact or resolve()["redact"].value
    if redact == "off":
        redact = "pii"
    if redact == "pii" and (problem := missing()):
        raise problem
    return redact, Look(redactor_named(redact), given.canary)


def _fix(store: str, look: Look, fixed: dict[str, Any]) -> list[str]:
    from agentops.redaction.keys import key_of_folder
    from agentops.store.upkeep import Store

    with Store(store) as upkeep:
        look.use_key(key_of_folder(os.path.dirname(store)))
        rewritten, held = upkeep.redact(look)
    for name in fixed:
        fixed[name] += getattr(rewritten, name)
    return held


def _existing(file: str) -> str:
    if not os.path.exists(file):
        raise UsageError(f"there is no file {file}")
    return file


def _store(file: str) -> str:
    """The store that `--fix FILE` means.

    Raises:
        UsageError: it is none.
    """
    from agentops.analysis.audit import is_store

    path = find_store(file) if os.path.isdir(_existing(file)) else os.path.abspath(file)
    try:
        with open(path, "rb") as opened:
            head = opened.read(100)
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror}") from problem
    if not is_store(head):
        raise UsageError(f"--fix writes stores anew, and {file} is none: fix the store, and export it again")
    return str(path)


def _print(out: Output, audit: Audit, redact: str, fixed: dict[str, Any] | None, held: list[str]) -> None:
    from agentops.analysis.audit import CLOSED

    if fixed is not None:
        counts = ", ".join(f"{count} {name}" for name, count in fixed.items())
        out.text(f"agentops: written anew: {counts} changed")
    looked = f"{audit.files} file{'s' * (audit.files != 1)}, {audit.bytes / 1e6:.1f} MB"
    if not audit.kinds:
        _say_held(out, held)
        out.text(f"agentops: nothing found ({redact}) in {looked}")
        return
    total = ", ".join(f"{kind} {count}" for kind, count in sorted(audit.kinds.items()))
    places: dict[tuple[str, str], list[str]] = {}
    for finding in audit.findings:
        times = f", {finding.times} times" if finding.times > 1 else ""
        shown = f" ({line(finding.shown, 60)}{times})" if finding.shown else f" ({times[2:]})" if times else ""
        places.setdefault((finding.file, finding.place), []).append(f"{finding.kind}{shown}")
    out.text(f"agentops: found in {looked}: {total}")
    before = None
    for (file, place), kinds in list(places.items())[:_SHOWN_MAX]:
        if file != before:
            before = file
            out.text(line(file), "bold")
        out.text(f"  {line(place, 160)}: {', '.join(kinds)}")
    if len(places) > _SHOWN_MAX:
        more = f"{len(places) - _SHOWN_MAX}{' or more' * audit.more}"
        out.text(f"  ... and in {more} other places: --json has all", "dim")
    if CLOSED in audit.kinds:
        out.text(f"agentops: what is {CLOSED} cannot be opened, so nobody can tell what is in it")
    _say_held(out, held)
    _advise(out, {file for file, _ in places}, held, fixed is not None)


def _say_held(out: Output, held: list[str]) -> None:
    for name in held:
        out.text(f"agentops: a program holds the journal {line(name)}: end it, and run this again")


def _advise(out: Output, files: set[str], held: list[str], is_fixed: bool) -> None:
    """What to do about what is left: in journals, in stores, and in files that were made of one."""
    from agentops.analysis.audit import is_held

    written = [file for file in sorted(files) if is_held(file) and os.path.basename(file) not in held]
    for file in written:
        out.text(
            f"agentops: a program records into {line(file)} without redaction: turn that on in it, or end it; then run "
            "`agentops audit --fix`"
        )
    copies = [file for file in sorted(files) if not _belongs_to_store(file)]
    for file in copies[:_SHOWN_MAX]:
        out.text(f"agentops: {line(file)} is no store: make it anew once its store is clean, or delete it")
    if len(written) + len(copies) == len(files):
        return
    if is_fixed:
        out.text(
            "agentops: that was recorded meanwhile, by a program without redaction: turn it on, and run this again"
        )
    else:
        out.text("agentops: `agentops audit --fix` takes it out of the store")


def _belongs_to_store(file: str) -> bool:
    """Whether --fix reaches it: a store, its log, a journal."""
    from agentops.analysis.audit import is_store

    if is_journal_name(os.path.basename(file)):
        return True
    for suffix in ("-wal", "-shm", "-journal"):
        file = file.removesuffix(suffix)
    try:
        with open(file, "rb") as opened:
            return is_store(opened.read(100))
    except OSError:
        return False


class _Waiting:
    """Says on a terminal how far it is, where it takes longer than one likes to wait."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _PATIENCE_S
        self._shown = False
        self._may = sys.stderr is not None and sys.stderr.isatty()

    def tell(self, read: int) -> None:
        if self._may and time.monotonic() > self._next:
            self._next = time.monotonic() + 0.5
            self._shown = True
            print(f"\ragentops: looked through {read / 1e6:.0f} MB ...", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

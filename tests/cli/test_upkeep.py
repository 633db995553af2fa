"""Taking runs out by hand, making users forgotten, copying a store."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from agentops.store.filters import parse
from agentops.store.reader import Reader

from .conftest import Done

Agentops = Callable[..., Done]

_RUNS = """
def text(word):
    return f"{word} is what this says, " * 30
for n, user in enumerate(["zeno", "bob", "zeno", "cleo"]):
    with span(f"run {n}", kind="agent", user=user, session=f"s-{user}", input=text(f"shared {n % 2}")) as run:
        with span(f"step of {user}", kind="tool", input={"ask": text(f"private{user}{n}")}) as step:
            step.output = f"told {user} secretly{user}{n}"
            step.add_event(f"event{user}", {"note": text(f"noted{user}")})
    score("good", n / 2, trace=run, comment=f"comment on {user}")
agentops.shutdown()
"""


@pytest.fixture
def runs(recording: Callable[[str, Path], Path], tmp_path: Path) -> Path:
    return recording(_RUNS, tmp_path / "traces.db")


def everything(folder: Path) -> bytes:
    """Every byte of a folder, compressed blocks opened, and the words of the index."""
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    connection = sqlite3.connect(folder / "traces.db")
    for (block,) in connection.execute("SELECT data FROM blocks"):
        raw += zstandard.ZstdDecompressor().decompress(block)
    for (part,) in connection.execute("SELECT part FROM parts").fetchall():
        connection.execute(f"CREATE VIRTUAL TABLE temp.v{part} USING fts5vocab('main', 'words_{part}', 'row')")
        raw += b"\n".join(term.encode() for (term,) in connection.execute(f"SELECT term FROM v{part}"))
    connection.close()
    return raw


def test_prune_takes_out_what_a_filter_selects_and_leaves_what_others_share(agentops: Agentops, runs: Path) -> None:
    dry = agentops("prune", "user:zeno", "--dry-run")
    assert (dry.code, dry.out) == (0, "agentops: 2 traces of 4, 4 spans would go\n")
    done = agentops("prune", "user:zeno", "--yes")
    assert done.out.startswith("agentops: 2 traces and 4 spans taken out")
    assert [trace["name"] for trace in agentops("ls", "--json").object["traces"]] == ["run 3", "run 1"]
    with Reader(str(runs)) as reader:
        assert [trace.name for trace in reader.traces(parse('"shared 1 is"'))] == ["run 3", "run 1"]
        assert not reader.traces(parse("privatezeno0"))
    assert agentops("prune", "user:zeno", "--yes", "--json").object["traces"] == 0


def test_what_goes_for_good_has_to_be_confirmed(agentops: Agentops, runs: Path) -> None:
    for words in (("prune", "user:zeno"), ("forget", "--user", "zeno")):
        done = agentops(*words)
        assert (done.code, done.out) == (2, "")
        assert "for good: add --yes to do it" in done.err
    assert len(agentops("ls", "--json").object["traces"]) == 4


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 4), (b"y\n", 2)])
def test_at_a_terminal_it_asks(answer: bytes, left: int, runs: Path, agentops: Agentops) -> None:
    parent, child = pty.openpty()
    command = [str(Path(sys.executable).parent / "agentops"), "prune", "user:zeno"]
    process = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env={**os.environ, "AGENTOPS_STORE": str(runs)}
    )
    os.close(child)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(parent, 1000)
    os.write(parent, answer)
    assert process.wait(30) == (0 if left == 2 else 1)
    os.close(parent)
    assert b"take out 2 traces of 4, 4 spans, for good?" in said
    assert len(agentops("ls", "--json").object["traces"]) == left


@pytest.mark.parametrize("which", [("--user", "zeno"), ("--session", "s-zeno"), ("--match", "user:zeno")])
def test_what_is_forgotten_stands_in_no_byte_on_disk(which: tuple[str, str], agentops: Agentops, runs: Path) -> None:
    assert agentops("search", "secretlyzeno0").code == 0
    assert b"secretlyzeno0" in everything(runs.parent)
    done = agentops("forget", *which, "--yes")
    assert done.out == f"agentops: 2 traces and 4 spans of {which[0][2:]} {which[1]} forgotten\n"
    assert b"zeno" not in everything(runs.parent)
    with Reader(str(runs)) as reader:
        assert [trace.name for trace in reader.traces(parse("secretlybob1"))] == ["run 1"]
        assert [trace.name for trace in reader.traces(parse('"shared 0 is"'))] == []
        assert [trace.name for trace in reader.traces(parse('"shared 1 is"'))] == ["run 3", "run 1"]


def test_a_user_whom_only_a_step_names_is_forgotten_too(
    agentops: Agentops, recording: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    recording(
        """
with span("request"):
    with span("for dora", user="dora", input="dora asks this"):
        pass
with span("request"):
    with span("for emil", user="emil", input="emil asks about dorado"):
        pass
""",
        tmp_path / "traces.db",
    )
    assert agentops("forget", "--user", "dora", "--yes", "--json").object["traces"] == 1
    assert [trace["user"] for trace in agentops("ls", "--json").object["traces"]] == ["emil"]


_RUNNING = """
    import sys
    from agentops import span
    shared = "what all of them are told " * 20
    for user in ("zeno", "bob"):
        with span(f"for {user}", user=user, input=[shared, f"only {user} knows this " * 20]):
            pass
    with span("still running", user="zeno", input=f"zeno is being served " * 20) if len(sys.argv) > 1 else span("x"):
        print("ready", flush=True)
        sys.stdin.readline()
        with span("later", user="bob", input=[shared, "only bob knows this " * 20]):
            pass
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a program that records, and goes on when a line is written to it."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "program").mkdir()
    path = tmp_path / "program" / "program.py"
    path.write_text(textwrap.dedent(_RUNNING))

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "AGENTOPS_STORE": str(tmp_path / "store" / "traces.db")}
        process = subprocess.Popen(
            [sys.executable, str(path), *arguments], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_program_that_runs_lets_go_of_what_is_forgotten_and_goes_on(
    agentops: Agentops, running: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    store = tmp_path / "store" / "traces.db"
    process = running()
    done = agentops("forget", "--user", "zeno", "--yes", store=store)
    assert (done.code, done.out) == (0, "agentops: 1 trace and 1 span of user zeno forgotten\n")
    assert b"zeno" not in everything(store.parent)
    process.communicate("go on\n", timeout=30)
    with Reader(str(store)) as reader:
        values = {trace.name: [s.input for s in reader.details(trace)] for trace in reader.iter_traces()}
    shared, known = "what all of them are told " * 20, "only bob knows this " * 20
    assert values["for bob"] == [[shared, known]]
    assert values["x"][1] == [shared, known]


def test_what_is_still_being_recorded_stays_and_is_said(
    agentops: Agentops, running: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    store = tmp_path / "store" / "traces.db"
    running("serves zeno")
    done = agentops("forget", "--user", "zeno", "--yes", store=store)
    assert done.code == 1
    assert "1 of them are still being recorded and stay" in done.out


def test_a_backup_is_a_store_and_never_overwrites(agentops: Agentops, runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    done = agentops("backup", str(target))
    assert done.code == 0
    assert target.stat().st_mode & 0o777 == 0o600
    assert agentops("export", store=target).lines == agentops("export", store=runs).lines
    again = agentops("backup", str(target))
    assert (again.code, again.out) == (2, "")
    assert "is there already: name another file, or delete it" in again.err


def test_a_backup_is_whole_while_a_program_writes(
    agentops: Agentops, running: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    running()
    assert agentops("backup", str(tmp_path / "copy.db"), store=tmp_path / "store" / "traces.db").code == 0
    names = [trace["name"] for trace in agentops("ls", "--json", store=tmp_path / "copy.db").object["traces"]]
    assert sorted(names) == ["for bob", "for zeno", "x"]


def test_a_whole_store_goes_through_export_and_import_scores_too(
    agentops: Agentops, runs: Path, tmp_path: Path
) -> None:
    assert agentops("export", "-o", str(tmp_path / "all.jsonl")).code == 0
    other = tmp_path / "other" / "traces.db"
    for _ in range(2):  # the second time all of it is there
        assert agentops("import", str(tmp_path / "all.jsonl"), store=other).code == 0
        assert agentops("export", store=other).lines == agentops("export", store=runs).lines
    assert len(agentops("ls", "--json", "score:good>0.5", store=other).object["traces"]) == 2


def test_a_redacted_user_is_found_and_forgotten_by_name(
    agentops: Agentops, recording: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    pytest.importorskip("presidio_analyzer", reason="needs presidio: pip install 'agentops-recorder[pii]'")
    recording(
        """
agentops.init(redact="pii")
for user in ("nora@example.com", "bob@example.com"):
    with span("answer", user=user): pass
agentops.shutdown()
""",
        tmp_path / "traces.db",
    )
    (trace,) = agentops("ls", "user:nora@example.com", "--json").object["traces"]
    assert trace["user"].startswith("<EMAIL_ADDRESS:")
    asked = agentops("forget", "--user", "nora@example.com")
    assert asked.code == 2 and "forget 1 trace with 1 span of user" in asked.err
    assert agentops("forget", "--user", "nora@example.com", "--yes").code == 0
    assert len(agentops("ls", "--json").object["traces"]) == 1
    unknown = agentops("forget", "--user", "nora@example.com", "--yes")
    assert "nobody is called so here" in unknown.out and "redaction.key" in unknown.out


def test_forgetting_says_who_else_is_in_the_same_runs(
    agentops: Agentops, recording: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    recording(
        """
with span("serve"):
    for user in ("ada", "bob", "cleo"):
        with span("answer", user=user): pass
agentops.shutdown()
""",
        tmp_path / "traces.db",
    )
    asked = agentops("forget", "--user", "ada")
    assert "forget 1 trace with 4 spans of user ada; whole traces go, and 2 other users have spans in them" in asked.err
    assert "2 other users" in agentops("forget", "--user", "ada", "--yes").out


def test_a_locked_store_shows_what_it_holds_and_says_that_more_waits(agentops: Agentops, runs: Path) -> None:
    folder = runs.parent / "traces.journal"
    more = [sys.executable, "-c", "import os\nfrom agentops import span\nwith span('later'): os._exit(0)"]
    subprocess.run(more, check=True, env={**os.environ, "AGENTOPS_STORE": str(runs)})
    assert list(folder.glob("*.journal"))
    holder = sqlite3.connect(runs, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    shown = agentops("ls", "--json")
    holder.close()
    assert shown.code == 0 and len(shown.object["traces"]) == 4
    assert "locked by another program" in shown.err and "more waits in journals" in shown.err
    assert len(agentops("ls", "--json").object["traces"]) == 5

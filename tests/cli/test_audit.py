"""What should not be on disk is found wherever it is, and a store that has it is written anew without it."""

from __future__ import annotations

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agentops.cli.schemas import SCHEMAS
from agentops.redaction.keys import key_of_folder
from agentops.redaction.looking import Look
from agentops.redaction.redactor import redactor_named
from agentops.store.filters import parse
from agentops.store.reader import Reader

from .conftest import Done
from .test_upkeep import everything

Agentops = Callable[..., Done]

CARD = "4012 8888 8888 1881"
MAIL = "nora.quist@canary-mail.example"
KEY = "ghp_" + "R7f2Kq9Zx4Lm1Vb8Nc3Wd6Te5Yg0Hj2Pu7Sa"
_VALUES = (CARD, MAIL, KEY)

_RUNS = f"""
import json
text = "charge {CARD} for {MAIL}, she said"
long = "".join(f"{{n}} the pelican waits for no ferry\\n" for n in range(200)) + text
for n in range(3):
    try:
        with span("pay {MAIL}", kind="agent", input=[long, {{"role": "user", "content": text}}], session="s {MAIL}",
                  user="{MAIL}", tags=["{MAIL}", "plain"], metadata={{"m": text}}) as run:
            run.set_attribute("note", text)
            run.set_attribute("key {MAIL}", "value")
            run.set_attribute("api_key", "{KEY}")
            run.add_event("seen {MAIL}", {{"what": text}})
            run.output = {{"deep": [{{"er": text}}], "json": json.dumps({{"in\\njson": text}}), "{MAIL}": 1}}
            with span("pay <EMAIL_ADDRESS>", input=text.encode(), kind="tool"):
                with span("calm", kind="llm", input="nothing to see"):
                    pass
                raise ValueError("x" * 270 + text)
    except ValueError:
        pass
    score("good", 1.0, trace=run, comment="told {MAIL}")
agentops.shutdown()
"""


@pytest.fixture(scope="module")
def old(recording: Callable[[str, Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was recorded without redaction; only to be read."""
    return recording(_RUNS, tmp_path_factory.mktemp("old") / "traces.db")


@pytest.fixture
def runs(old: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "traces.db").write_bytes(old.read_bytes())
    return folder / "traces.db"


def shape(store: Path) -> list[Any]:
    """All that redaction leaves as it is."""
    with Reader(str(store)) as reader:
        return [
            (trace.trace_id, trace.spans, trace.errors, trace.status, trace.start_ns, trace.end_ns, len(trace.tags),
             [(s.span_id, s.parent_id, s.kind, s.status, s.start_ns, s.end_ns) for s in reader.spans(trace)])
            for trace in reader.traces()
        ]  # fmt: skip


def test_an_old_store_is_found_with_kinds_and_places_and_no_value_is_printed(agentops: Agentops, old: Path) -> None:
    done = agentops("audit", store=old)
    assert done.code == 1
    found = agentops("audit", "--json", store=old)
    assert found.code == 1
    SCHEMAS["audit"].model_validate(found.object, strict=True)
    assert found.object["kinds"].keys() == {"CREDIT_CARD", "EMAIL_ADDRESS", "GITHUB_TOKEN"}
    with Reader(str(old)) as reader:
        trace = reader.traces()[-1].trace_id[:8]
    kinds = {(finding["place"], finding["kind"]): finding["times"] for finding in found.object["findings"]}
    span = f'span "pay <EMAIL_ADDRESS>" of trace {trace}'
    assert kinds[f"{span}: input", "CREDIT_CARD"] >= 2
    assert kinds[f"{span}: attributes", "GITHUB_TOKEN"] == 1
    assert kinds[f"{span}: output", "EMAIL_ADDRESS"] == 3
    assert kinds[f"trace {trace}: user", "EMAIL_ADDRESS"] == 1
    assert kinds[f"a score of trace {trace}", "EMAIL_ADDRESS"] == 1
    for value in (*_VALUES, "nora", "8888", KEY[4:12]):
        assert value not in done.out + done.err + found.out


def test_fix_writes_the_store_anew_so_that_no_byte_of_it_is_left(agentops: Agentops, runs: Path) -> None:
    before = shape(runs)
    assert b"nora" in everything(runs.parent)
    done = agentops("audit", "--fix", "--yes", "--canary", MAIL, "--canary", CARD, store=runs)
    assert (done.code, done.lines[-1][:30]) == (0, "agentops: nothing found (pii) ")
    left = everything(runs.parent)
    for value in (*_VALUES, MAIL.lower(), "nora", "quist", "8888", KEY[4:12]):
        assert value.encode() not in left
    assert shape(runs) == before
    assert agentops("audit", store=runs).code == 0

    assert "pay <EMAIL_ADDRESS>" in agentops("ls", store=runs).out
    shown = agentops("show", "latest", "--content", store=runs)
    assert (shown.code, shown.out.count("charge <CREDIT_CARD> for <EMAIL_ADDRESS>, she said") > 5) == (0, True)
    with Reader(str(runs)) as reader:
        users = {trace.user for trace in reader.traces()}
        assert len(users) == 1
        assert next(iter(users)).startswith("<EMAIL_ADDRESS:")  # type: ignore[union-attr]
        assert len(reader.traces(parse('"pelican waits for no ferry"'))) == 3
        assert len(reader.traces(parse('"she said"'))) == 3
    again = agentops("audit", "--fix", "--yes", "--json", store=runs).object
    assert again["fixed"] == {"contents": 0, "spans": 0, "others": 0}


def test_a_fixed_store_has_the_same_users_as_programs_that_redact_from_now_on(agentops: Agentops, runs: Path) -> None:
    assert agentops("audit", "--fix", "--yes", "--redact", "secrets", store=runs).code == 0
    assert KEY.encode() not in everything(runs.parent)
    assert MAIL.encode() in everything(runs.parent)
    assert agentops("audit", "--fix", "--yes", store=runs).code == 0
    redactor = redactor_named("pii")
    redactor.key = key_of_folder(str(runs.parent), create=False) or b""
    with Reader(str(runs)) as reader:
        assert {trace.user for trace in reader.traces()} == {redactor.identifier(MAIL)}


def test_a_fix_that_is_killed_leaves_a_good_store_and_goes_on(
    agentops: Agentops, recording: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    source = f"""
for n in range(300):
    with span(f"run {{n}}", input=f"{{n}} is what this says, token {KEY}, " * 8) as run:
        run.set_attribute("token", "{KEY}")
"""
    store = recording(source, tmp_path / "store" / "traces.db")
    before = shape(store)
    command = [str(Path(sys.executable).parent / "agentops"), "audit", "--fix", "--yes", "--redact", "secrets"]
    for _ in range(2):
        reading, looking = sqlite3.connect(store), sqlite3.connect(store)
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM traces").fetchone()  # while this is open, the file cannot be finished
        version = looking.execute("PRAGMA data_version").fetchone()
        process = subprocess.Popen(command, env={**os.environ, "AGENTOPS_STORE": str(store)}, stdout=subprocess.DEVNULL)
        while process.poll() is None and looking.execute("PRAGMA data_version").fetchone() == version:
            pass
        process.kill()
        assert process.wait() == -signal.SIGKILL
        reading.close()
        looking.close()
        assert shape(store) == before
    assert agentops("audit", "--fix", "--yes", "--redact", "secrets", store=store).code == 0
    assert KEY.encode() not in everything(store.parent)
    assert shape(store) == before
    assert len(agentops("ls", "--json", '"232 is what this says"', store=store).object["traces"]) == 1


def test_a_program_that_runs_goes_on_and_may_refer_to_what_was_written_anew(agentops: Agentops, tmp_path: Path) -> None:
    source = f"""
        import sys
        from agentops import span
        first = {{"role": "user", "content": "this token of mine, {KEY}, is a secret " * 9}}
        with span("before", input=[first]):
            print("ready", flush=True)
            sys.stdin.readline()
            with span("after", input=[first, {{"role": "user", "content": "and now " * 20}}]):
                pass
    """
    store = tmp_path / "store" / "traces.db"
    command = [sys.executable, "-c", textwrap.dedent(source)]
    environment = {**os.environ, "AGENTOPS_STORE": str(store)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        done = agentops("audit", "--redact", "secrets", store=store)
        (journal,) = (store.parent / "traces.journal").iterdir()
        assert f"a program records into {journal} without redaction: turn that on in it, or end it" in done.lines[-1]
        assert agentops("audit", "--fix", "--yes", "--redact", "secrets", store=store).code == 0
        assert KEY.encode() not in everything(store.parent)
        process.communicate("go on\n", timeout=30)
    assert agentops("audit", "--fix", "--yes", "--redact", "secrets", store=store).code == 0
    with Reader(str(store)) as reader:
        before, after = reader.details(reader.traces()[0])
        assert after.input == [*before.input, {"role": "user", "content": "and now " * 20}]
        assert before.input[0]["content"].startswith("this token of mine, <GITHUB_TOKEN>, is a secret")


def test_what_is_written_anew_has_to_be_confirmed_and_has_to_be_a_store(agentops: Agentops, runs: Path) -> None:
    done = agentops("audit", "--fix", store=runs)
    assert (done.code, done.out) == (2, "")
    assert "for good: add --yes to do it" in done.err
    export = runs.parent / "all.jsonl"
    export.write_text("{}\n")
    done = agentops("audit", str(export), "--fix", "--yes", store=runs)
    assert done.code == 2
    assert "fix the store, and export it again" in done.err
    assert agentops("audit", str(runs.parent / "none")).code == 2
    assert agentops("audit", "--canary", "abc").code == 2
    assert agentops("audit", store=runs.parent / "other" / "traces.db").code == 4


def test_a_live_store_in_which_digits_of_two_cells_meet_is_clean(agentops: Agentops, tmp_path: Path) -> None:
    source = """
        import agentops, random, sys
        random = random.Random(1)
        for n in range(300):
            with agentops.span(f"step {n % 7}", session=f"{random.randrange(99)}-{random.randrange(9999)}", user=str(n),
                               tags=[f"{n}-{random.randrange(999)}"], input=f"{n}-250", attributes={"n": n}):
                pass
        agentops.flush()
        print("ready", flush=True)
        sys.stdin.readline()
    """
    store = tmp_path / "traces.db"
    command = [sys.executable, "-c", textwrap.dedent(source)]
    with subprocess.Popen(
        command,
        env={**os.environ, "AGENTOPS_STORE": str(store)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        done = agentops("audit", store=store)
        assert (done.code, done.lines[-1][:30]) == (0, "agentops: nothing found (pii) ")
        process.communicate("go on\n", timeout=30)


def test_among_bytes_that_are_no_text_only_what_is_sure_is_found(look: Look) -> None:
    def kinds(text: str) -> list[str]:
        return [one.kind for one in look.raw(b"\x0c\x07" + text.encode() + b"\0\xff")]

    assert kinds("28-2502828-25028-250") == kinds("30-212-555-0187 219-09-9999") == kinds("4012-88888888-1881-40") == []
    assert kinds(f"xx {CARD} {MAIL}!(") == ["CREDIT_CARD", "EMAIL_ADDRESS"]
    assert kinds("my phone is (212) 555-0187") == ["PHONE_NUMBER"]
    assert kinds(f"{KEY}( postgres://me:hidden@db/x DE89370400440532013000") == [
        "GITHUB_TOKEN", "URL_CREDENTIALS", "IBAN_CODE",
    ]  # fmt: skip


def test_the_total_stands_first_and_then_the_first_places(agentops: Agentops, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text(f"{MAIL}\n" * 30)
    done = agentops("audit", str(path))
    assert done.code == 1
    assert "EMAIL_ADDRESS 30" in done.lines[0]
    assert done.lines[21].startswith("  line 20: EMAIL_ADDRESS (")
    assert done.lines[22] == "  ... and in 10 other places: --json has all"
    assert done.lines[23:] == [f"agentops: {path} is no store: make it anew once its store is clean, or delete it"]
    assert len(agentops("audit", str(path), "--json").object["findings"]) == 30


def _spellings(text: str) -> Iterator[tuple[str, bytes]]:
    data = text.encode()
    yield "as it is", data
    yield "without blanks", data.replace(b" ", b"")
    yield "quoted for a URL", urllib.parse.quote(text).encode()
    yield "escaped as JSON", json.dumps(text)[1:-1].encode()
    yield "in hexadecimal", data.hex().encode()
    for before in range(3):
        yield "in base64", base64.b64encode(bytes(before) + data + b"and so on")


@pytest.mark.parametrize("where", ["text", "binary", "compressed"])
def test_a_canary_is_found_in_all_spellings(where: str, agentops: Agentops, tmp_path: Path) -> None:
    canary = 'the "blue" ferry/ü of  Friday'
    path = tmp_path / "file"
    spelled = [b"and " + spelling + b" in it\n" for _, spelling in _spellings(canary)]
    if where == "text":
        path.write_bytes(b"one line\n" + b"".join(spelled))
    elif where == "binary":
        path.write_bytes(b"".join(b"\0\1\xff" * 60_000 + one for one in spelled) + b"\0")
    else:
        path.write_bytes(b"\0\1" + zstandard.compress(b"".join(spelled) * 3))
    done = agentops(
        "audit", str(path), "--redact", "secrets", "--canary", "something else", "--canary", canary, "--json"
    )
    assert done.code == 1
    found = done.object["findings"]
    assert {finding["shown"] for finding in found} == {f"canary 2, {how}" for how, _ in _spellings(canary)}
    assert sum(finding["times"] for finding in found) == len(spelled) * (3 if where == "compressed" else 1)


def test_what_waits_in_a_journal_is_found(agentops: Agentops, tmp_path: Path) -> None:
    store = tmp_path / ".agentops" / "traces.db"
    source = """
        import agentops, os, signal
        with agentops.span("three", input="bob@example.com is on the red ferry " * 9):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = {**os.environ, "AGENTOPS_STORE": str(store)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], env=environment, timeout=60)
    done = agentops("audit", "--canary", "red ferry", "--json", store=store)
    assert done.code == 1
    files = {(Path(finding["file"]).suffix, finding["kind"]) for finding in done.object["findings"]}
    assert files == {(".journal", "CANARY"), (".journal", "EMAIL_ADDRESS")}
    assert agentops("audit", "--redact", "secrets", store=store).code == 0
    assert agentops("audit", "--fix", "--yes", store=store).code == 0
    assert "three" in agentops("ls", store=store).out


def test_what_was_deleted_is_found_until_the_file_is_written_anew(
    agentops: Agentops, recording: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    source = """
for n in range(400):
    with span(f"run {n}", input=f"{n} is on the blue ferry, " * 20, user="ada@example.com"): pass
agentops.shutdown()
"""
    store = recording(source, tmp_path / "traces.db")
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA secure_delete = OFF")  # as it is in what writes the store
    for table in ("blocks", "fresh", "contents", "parts", "traces", "spans", "names"):
        connection.execute(f"DELETE FROM {table}")
    connection.commit()
    connection.close()
    look = ("audit", "--canary", "the blue ferry", "--json", str(store))
    found = {(finding["place"], finding["kind"]) for finding in agentops(*look).object["findings"]}
    deleted = "deleted, and still in the file"
    assert {(deleted, "EMAIL_ADDRESS"), (f"{deleted}, compressed", "CANARY")} <= found
    assert agentops(*look, "--fix", "--yes").object["findings"] == []


def test_an_export_is_looked_through_span_by_span(agentops: Agentops, old: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    assert agentops("export", "-o", str(path), store=old).code == 0
    done = agentops("audit", str(path), "--json")
    assert done.code == 1
    first = json.loads(path.read_text().splitlines()[0])
    place = f'line 1, span "pay <EMAIL_ADDRESS>" of trace {first["trace_id"][:8]}: '
    found = {finding["place"] for finding in done.object["findings"]}
    assert {place + key for key in ("name", "input", "output", "attributes", "events", "user", "scores")} <= found
    assert not any(value in done.out for value in _VALUES)


def test_what_a_redactor_has_put_in_is_no_finding(agentops: Agentops, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text(
        json.dumps({"password": "<PASSWORD>", "a": "to <EMAIL_ADDRESS:123456789012>, card <CREDIT_CARD>"}) + "\n"
        "api_key = <GENERIC_API_KEY>\nhttps://ada:<PASSWORD>@host.example/x\n"
    )
    assert agentops("audit", str(path)).code == 0


def test_a_store_that_is_damaged_or_somebody_elses_is_looked_through_as_bytes(
    agentops: Agentops, runs: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (?)", (f"mail to {MAIL}",))
    connection.commit()
    connection.close()
    found = agentops("audit", str(other), "--json").object
    assert found["kinds"] == {"EMAIL_ADDRESS": 1}
    data = bytearray(runs.read_bytes())
    data[4096:8192] = bytes(4096)
    data[100:200] = b"\xff" * 100
    runs.write_bytes(data)
    done = agentops("audit", str(runs), "--json")
    assert done.code == 1
    assert {"UNREADABLE", "EMAIL_ADDRESS"} <= done.object["kinds"].keys()
    trap = tmp_path / "trap.db"
    trap.write_bytes(bytes(0))
    connection = sqlite3.connect(trap)
    connection.executescript(
        "PRAGMA application_id = 1095192400; CREATE TABLE traces (no); CREATE VIEW names AS SELECT 1"
    )
    connection.close()
    assert agentops("audit", str(trap), "--json").object["kinds"] == {"UNREADABLE": 1}
    assert agentops("audit", "--fix", "--yes", str(trap)).code == 3


@pytest.fixture(scope="module")
def look() -> Look:
    return Look(redactor_named("pii"))


_TEXTS = st.lists(
    st.sampled_from(
        [CARD, MAIL, KEY, "password: hunter2!9", "<EMAIL_ADDRESS>", "calm", "\\", '"', "\n", " ", "4", "@x"]
    )
).map("".join)
_VALUES_OF = st.recursive(
    st.one_of(_TEXTS, st.integers(0, 10**17), _TEXTS.map(str.encode), _TEXTS.map(lambda t: json.dumps({"a\n": t}))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["password", "a", MAIL]), inner, max_size=2)
    ),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(_VALUES_OF)
def test_nothing_is_found_in_what_was_put_aside(look: Look, value: Any) -> None:
    found = look.found(value)
    settled = look.value(value)
    assert not look.found(settled)
    assert bool(found) == (settled != value)

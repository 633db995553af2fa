"""`agentops run` on real programs: what they do is theirs, and what they did is on record."""

from __future__ import annotations

import ast
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from examples.stand_in import Reply, Request, StandIn, Text, Usage

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a user's shell, with a store of this test's own."""
    foreign = ("AGENTOPS_", "ANTHROPIC_", "OTEL_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **kept,
        "AGENTOPS_STORE": str(tmp_path / "traces.db"),
        "PATH": f"{BIN}{os.pathsep}{kept['PATH']}",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a script into the folder in which programs run."""

    def write(source: str, name: str = "agent.py") -> str:
        (tmp_path / name).write_text(textwrap.dedent(source))
        return name

    return write


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Run:
    def run(*command: str, input: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["agentops", "run", "--", *command],
            cwd=tmp_path,
            env={**environment, **more},
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def spans(tmp_path: Path, read: Callable[[Path], list[dict[str, Any]]]) -> Callable[[], dict[str, dict[str, Any]]]:
    """What is on record, by name."""
    return lambda: {span["name"]: span for span in read(tmp_path / "traces.db")}


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def last(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.splitlines()[-1]


def test_a_program_is_what_it_is_without_us(write: Any, run: Run, tmp_path: Path, environment: dict[str, str]) -> None:
    script = write(
        """
        import sys
        print("out", sys.argv[1:], sys.stdin.read(), sys.stdout.isatty())
        print("err", file=sys.stderr)
        print([p for p in sys.path if "agentops" in p and "bootstrap" in p], "sitecustomize" in sys.modules)
        sys.exit(7)
        """
    )
    done = run("python", script, "-x", "--json", "--", "é", input="in")
    alone = subprocess.run(
        ["python", script, "-x", "--json", "--", "é"],
        cwd=tmp_path,
        env=environment,
        input="in",
        capture_output=True,
        text=True,
    )
    assert done.stdout.replace(" True\n", " False\n") == alone.stdout.replace(" True\n", " False\n")
    assert done.stderr.splitlines()[:-1] == alone.stderr.splitlines()
    assert done.returncode == alone.returncode == 7


def test_on_a_terminal_it_adds_its_last_line_and_nothing_else(write: Any, environment: Any, tmp_path: Path) -> None:
    import pty

    script = write(
        "import sys\nfrom agentops import span\nwith span('x'): print(sys.stdin.isatty(), sys.stderr.isatty())"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execvpe("agentops", ["agentops", "run", "python", script], environment)
    seen = b""
    try:
        while piece := os.read(terminal, 4096):
            seen += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    assert os.waitpid(pid, 0)[1] == 0
    lines = seen.decode().splitlines()
    assert lines[0] == "True True"
    assert len(lines) == 2
    assert lines[1].startswith("agentops: run ")


def test_the_program_is_a_span_and_what_it_opens_hangs_under_it(write: Any, run: Run, spans: Any) -> None:
    script = write(
        "from agentops import span\nwith span('plan', kind='plan'):\n    with span('chat', kind='llm'): pass"
    )
    done = run("python", script)
    found = spans()
    root = found["agent.py"]
    assert root["parent_span_id"] is None
    assert found["plan"]["parent_span_id"] == root["span_id"]
    assert found["chat"]["parent_span_id"] == found["plan"]["span_id"]
    assert root["status"] == "ok"
    assert root["attributes"]["process.command_args"] == ["python", "agent.py"]
    assert root["attributes"]["process.exit.code"] == 0
    assert re.fullmatch(rf"agentops: run {root['trace_id'][:8]} ok, \d+ms, 3 spans - agentops show \w+", last(done))


def test_an_uncaught_exception_is_the_programs_error(write: Any, run: Run, spans: Any) -> None:
    script = write(
        """
        import sys
        from agentops import span
        sys.excepthook = lambda *_: print("a hook of the program's own", file=sys.stderr)
        with span("refund", kind="tool"):
            raise TimeoutError("payment service did not answer")
        """
    )
    done = run("python", script)
    root = spans()["agent.py"]
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "a hook of the program's own"
    assert root["status"] == "error"
    assert root["exception"]["type"] == "TimeoutError"
    assert 'raise TimeoutError("payment service did not answer")' in root["exception"]["stacktrace"]
    short = root["trace_id"]
    assert last(done) == f"agentops: run {short[:8]} failed in refund (TimeoutError) - agentops why {short[:4]}"


def test_the_signal_that_ended_it_is_on_record_and_ours_too(write: Any, run: Run, spans: Any) -> None:
    script = write(
        "import os, signal\nfrom agentops import span\nwith span('deep'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = run("python", script)
    found = spans()
    assert done.returncode == -signal.SIGKILL
    assert found["agent.py"]["attributes"]["process.exit.signal"] == "SIGKILL"
    assert found["agent.py"]["status"] == "error"
    assert found["deep"]["status"] == "interrupted"
    assert "was ended by SIGKILL" in last(done)


@pytest.mark.parametrize("inside", [True, False], ids=["in a step", "between two"])
def test_of_a_program_that_was_killed_why_leads_to_the_step_it_was_in(
    inside: bool, write: Any, run: Run, environment: Any, tmp_path: Path
) -> None:
    step = "with span('fetch', kind='tool', input='big.zip'): " if inside else ""
    script = write(
        "import os, signal\nfrom contextlib import suppress\nfrom agentops import span\n"
        "with suppress(OSError), span('charge', kind='tool'): raise OSError('declined')\n"
        f"{step}os.kill(os.getpid(), signal.SIGKILL)"
    )
    run("python", script)
    ask = {"cwd": tmp_path, "env": environment, "text": True}
    said = subprocess.check_output(["agentops", "why"], **ask).splitlines()
    assert "agent.py was killed by SIGKILL " + ("while fetch (tool) ran" if inside else "with no step open") in said[0]
    [path] = [line for line in said if line.split()[0] == "path"]
    assert path.endswith("agent.py > fetch" if inside else "agent.py")
    listed = subprocess.check_output(["agentops", "ls", "status:error"], **ask)
    assert "agent.py" in listed
    cut_off = subprocess.check_output(["agentops", "ls", "--spans", "status:interrupted"], **ask)
    assert ("fetch" in cut_off) is inside


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_program_once(number: signal.Signals, write: Any, environment: Any, tmp_path: Path) -> None:
    script = write(
        f"""
        import signal, sys, time
        heard = []
        signal.signal({number:d}, lambda *_: heard.append(1))
        print("ready", flush=True)
        sys.stdin.readline()
        print(len(heard))
        """
    )
    with subprocess.Popen(
        ["agentops", "run", "python", script],
        cwd=tmp_path, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        deadline = time.monotonic() + 20
        child = int(subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()[0])
        while pending(process.pid, number) or pending(child, number):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.read() == "1\n"
        assert process.wait(20) == 0


def pending(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


def test_a_program_ended_by_sigterm_ends_us_so(write: Any, environment: Any, tmp_path: Path) -> None:
    script = write("import time\nprint('ready', flush=True)\ntime.sleep(60)")
    process = subprocess.Popen(
        ["agentops", "run", "python", script],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    "waits",
    [
        "with span('fetch', kind='tool'): interrupt(); time.sleep(20)",
        """
async def main():
    with span('fetch', kind='tool'):
        interrupt()
        await asyncio.sleep(20)
asyncio.run(main())""",
    ],
    ids=["plain", "asyncio"],
)
def test_a_program_that_ctrl_c_ends_ends_by_sigint_and_why_says_so(
    waits: str, write: Any, run: Run, environment: Any, tmp_path: Path
) -> None:
    script = write(
        "import asyncio, os, signal, time\nfrom agentops import span\n"
        "def interrupt(): os.kill(os.getpid(), signal.SIGINT)\n"
        "with span('chat', kind='llm', input='what next?') as s: s.output = 'fetch it'\n" + waits
    )
    done = run("python", script)
    assert done.returncode == -signal.SIGINT
    assert done.stderr.splitlines()[-2] == "KeyboardInterrupt"
    assert "was ended by SIGINT in fetch (tool)" in last(done)
    said = subprocess.check_output(["agentops", "why"], cwd=tmp_path, env=environment, text=True)
    assert "agent.py was interrupted by Ctrl-C (SIGINT) while fetch (tool) ran" in said.splitlines()[0]
    assert "\n  cause " not in said
    assert "\n  printed " not in said


def test_a_program_that_ate_its_memory_is_not_told_to_install_anything(
    write: Any, run: Run, environment: Any, tmp_path: Path
) -> None:
    script = write(
        """
        kept, size = [], 1 << 20
        while True:
            try:
                while True:
                    kept.append(bytearray(size))
            except MemoryError:
                if size <= 1_000:
                    raise
                size //= 2
        """
    )
    done = run("sh", "-c", f"ulimit -v 400000; exec python {script}")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if not line.startswith(" ")][1:-1] == ["MemoryError"]
    assert "failed in sh (MemoryError)" in last(done)
    assert "cannot import" not in last(done)
    said = subprocess.check_output(["agentops", "why"], cwd=tmp_path, env=environment, text=True)
    assert said.splitlines()[0].endswith("sh failed: MemoryError")


@pytest.mark.parametrize("ends", ["sys.exit(7)", "os._exit(7)"])
def test_the_last_lines_of_a_program_that_only_had_an_exit_code_are_told(
    ends: str, write: Any, run: Run, environment: Any, tmp_path: Path
) -> None:
    run("python", write(f"import os, sys\nprint('no such account', flush=True)\n{ends}"))
    said = subprocess.check_output(["agentops", "why"], cwd=tmp_path, env=environment, text=True).splitlines()
    assert said[0].endswith("agent.py failed: exit code 7")
    assert said[1].split(maxsplit=1) == ["printed", "no such account"]


def test_that_a_program_which_redacts_has_no_last_lines_is_said(
    write: Any, run: Run, environment: Any, tmp_path: Path
) -> None:
    script = write("import sys, agentops\nwith agentops.span('x'): pass\nprint('ann@example.com')\nsys.exit(7)")
    run("python", script, AGENTOPS_REDACT="secrets")
    said = subprocess.check_output(["agentops", "why"], cwd=tmp_path, env=environment, text=True).splitlines()
    printed = [line.split(maxsplit=1)[1] for line in said if line.split()[0] == "printed"]
    assert len(printed) == 1
    assert printed[0].startswith("not kept: a program that redacts")


def test_lines_that_others_write_into_the_same_file_are_not_taken_for_the_programs(
    write: Any, environment: Any, tmp_path: Path
) -> None:
    script = write("import os, subprocess\nsubprocess.run('echo of another >&2', shell=True)\nos.kill(os.getpid(), 9)")
    with open(tmp_path / "log", "a") as log:
        command = ["agentops", "run", "--", "python", script]
        subprocess.run(command, cwd=tmp_path, env=environment, stderr=log)
    said = subprocess.check_output(["agentops", "why"], cwd=tmp_path, env=environment, text=True)
    assert "was killed by SIGKILL" in said
    assert "of another" not in said


def test_the_error_that_a_python_out_of_reach_printed_is_taken_from_its_lines(
    run: Run, environment: Any, tmp_path: Path
) -> None:
    with open(tmp_path / "log", "w") as log:
        command = ["agentops", "run", "--", "python", "-E", "-c", "int('seven')"]
        subprocess.run(command, cwd=tmp_path, env=environment, stderr=log)
    said = subprocess.check_output(["agentops", "why"], cwd=tmp_path, env=environment, text=True)
    assert "exit code 1, and the last that it printed is ValueError: invalid literal" in said.splitlines()[0]


def test_children_of_every_kind_are_covered(write: Any, run: Run, spans: Any) -> None:
    script = write(
        """
        import multiprocessing, subprocess, sys
        from agentops import span

        def work(name):
            with span(name): pass

        if __name__ == "__main__":
            source = "from agentops import span\\nwith span('subprocess'): pass"
            subprocess.run([sys.executable, "-c", source], check=True)
            for method in ("fork", "spawn", "forkserver"):
                context = multiprocessing.get_context(method)
                child = context.Process(target=work, args=(method,))
                child.start(); child.join()
            with multiprocessing.get_context("spawn").Pool(2) as pool:
                pool.map(work, ["pool"])
        """
    )
    done = run("python", script)
    assert done.returncode == 0, done.stderr
    found = spans()
    root = found.pop("agent.py")
    assert set(found) == {"subprocess", "fork", "spawn", "forkserver", "pool"}
    assert {span["parent_span_id"] for span in found.values()} == {root["span_id"]}


def test_what_a_step_starts_hangs_below_the_step(write: Any, run: Run, spans: Any) -> None:
    script = write(
        """
        import multiprocessing, os, subprocess, sys, threading
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        from agentops import span

        def work(name):
            with span(name): pass

        CHILD = "import sys; from agentops import span\\nwith span(sys.argv[1]): pass"

        if __name__ == "__main__":
            with span("step"):
                thread = threading.Thread(target=work, args=("thread",)); thread.start(); thread.join()
                with ThreadPoolExecutor(1) as executor: list(executor.map(work, ["task"]))
                with ProcessPoolExecutor(1) as executor: list(executor.map(work, ["process task"]))
                with multiprocessing.get_context("spawn").Pool(1) as pool: pool.map(work, ["pool"])
                subprocess.run([sys.executable, "-c", CHILD, "program"], check=True)
                subprocess.run(["agentops", "run", sys.executable, "-c", CHILD, "run of its own"], check=True)
        """
    )
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # of what started all this
    done = run("python", script, TRACEPARENT=given)
    assert done.returncode == 0, done.stderr
    found = spans()
    names = {span["span_id"]: name for name, span in found.items()}
    parents = {name: names.get(span["parent_span_id"]) for name, span in found.items()}
    assert parents == {
        "agent.py": None, "step": "agent.py", "thread": "step", "task": "step", "process task": "step", "pool": "step",
        "program": "step", "run of its own": "python -c", "python -c": None,
    }  # fmt: skip
    assert [link["span_id"] for link in found["python -c"]["links"]] == [found["step"]["span_id"]]
    assert [link["span_id"] for link in found["agent.py"]["links"]] == [given[36:52]]


def test_a_program_that_starts_threads_and_records_nothing_loads_nothing_of_ours(write: Any, run: Run) -> None:
    script = write(
        """
        import asyncio, multiprocessing.pool, subprocess, sys, threading
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        thread = threading.Thread(target=print, args=("ran",)); thread.start(); thread.join()
        with ThreadPoolExecutor() as executor: executor.submit(print, "ran").result()
        subprocess.run(["true"], check=True)
        assert threading.__spec__.loader is threading.__loader__
        assert type(threading.__loader__).__name__ == "SourceFileLoader"
        print([name for name in sys.modules if name.split(".")[0] in ("agentops", "opentelemetry")])
        """
    )
    assert run("python", script).stdout == "ran\nran\n[]\n"


def test_a_child_that_dies_is_a_span_of_its_own(write: Any, run: Run, spans: Any) -> None:
    script = write("import subprocess, sys\nsubprocess.run([sys.executable, 'child.py'])")
    write("import json\njson.loads('{')", "child.py")
    done = run("python", script)
    found = spans()
    assert done.returncode == 0
    assert found["child.py"]["exception"]["type"] == "json.decoder.JSONDecodeError"
    assert found["child.py"]["parent_span_id"] == found["agent.py"]["span_id"]
    assert "ended well with 1 error - agentops why" in last(done)


def test_a_module_and_pytest_and_a_shell(write: Any, run: Run, spans: Any) -> None:
    write("from agentops import span\nwith span('in a module'): pass", "tool.py")
    assert run("python", "-m", "tool").returncode == 0
    assert spans()["in a module"]["parent_span_id"] == spans()["tool"]["span_id"]

    write(
        "from agentops import span\ndef test_it():\n    with span('in a test'): assert False, 'wrong answer'",
        "test_it.py",
    )
    done = run("pytest", "-q", "-p", "no:cacheprovider", "test_it.py")
    assert done.returncode == 1
    assert spans()["in a test"]["parent_span_id"] == spans()["pytest"]["span_id"]
    assert "wrong answer" in spans()["pytest"]["exception"]["message"]

    assert run("sh", "-c", "python tool.py; exit 3").returncode == 3
    assert spans()["sh"]["attributes"]["process.exit.code"] == 3


SEED = """
import time, json, logging
from anthropic import Anthropic
logging.basicConfig(filename="calls.log", level=logging.INFO)
client = Anthropic()
def ask(prompt, model="claude-haiku-5-5"):
    began = time.time()
    try:
        answer = client.messages.create(model=model, max_tokens=512, messages=[{"role": "user", "content": prompt}])
        logging.info(json.dumps({"model": model, "prompt": prompt, "response": answer.content[0].text,
            "input_tokens": answer.usage.input_tokens, "output_tokens": answer.usage.output_tokens,
            "latency_ms": round((time.time() - began) * 1000), "ok": True}))
        return answer.content[0].text
    except Exception as error:
        logging.error(json.dumps({"prompt": prompt, "ok": False, "error": str(error)}))
        raise
print(ask("Summarize LLMOps in one sentence."))
"""


def test_the_script_that_everybody_begins_with(
    write: Any, run: Run, spans: Any, tmp_path: Path, environment: Any
) -> None:
    def script(request: Request) -> Reply:
        return Reply((Text("Watch what models do."),), usage=Usage(14, 6))

    name = write(SEED)
    with StandIn(script) as api:
        done = run("python", name, ANTHROPIC_BASE_URL=api.url, ANTHROPIC_API_KEY="any")
    assert done.stdout == "Watch what models do.\n"
    found = spans()
    chat = found["chat claude-haiku-5-5"]
    assert chat["parent_span_id"] == found["agent.py"]["span_id"]
    assert chat["input"] == [{"role": "user", "content": "Summarize LLMOps in one sentence."}]
    assert chat["output"] == [{"type": "text", "text": "Watch what models do."}]
    assert chat["usage"] == {
        "input_tokens": 14, "output_tokens": 6, "cache_read_input_tokens": 0, "cache_write_input_tokens": 0
    }  # fmt: skip
    assert chat["cost_usd"] > 0
    assert "20 tokens, <$0.0001" in last(done)

    imported = subprocess.run(
        ["agentops", "import", "calls.log"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert imported.returncode == 0, imported.stderr


SERVED = """
import asyncio, sys
from agentops import span

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    with span("answer", kind="agent"): pass
    status = 500 if scope["path"] == "/broken" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]], ids=["one process", "workers"])
def test_a_request_that_uvicorn_serves_is_a_trace_of_its_own(
    workers: list[str], write: Any, environment: Any, tmp_path: Path, read: Any
) -> None:
    write(SERVED, "served.py")
    port = free_port()
    process = subprocess.Popen(
        ["agentops", "run", "--", "uvicorn", "--port", str(port), "--lifespan", "off", *workers, "served:app"],
        cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    try:
        assert fetched(port, "/tickets") == 200
        assert fetched(port, "/called", traceparent=parent) == 200
        assert fetched(port, "/broken") == 500
    finally:
        process.terminate()
        said = process.communicate(timeout=30)[1]
    assert "; meanwhile 3 other runs were recorded, 1 with errors (agentops ls 'errors>0' since:1m)" in said
    spans = read(tmp_path / "traces.db")
    [program] = [span for span in spans if span["name"] == "uvicorn"]
    requests = {span["name"]: span for span in spans if span["name"].startswith("GET ")}
    answers = {span["parent_span_id"]: span for span in spans if span["name"] == "answer"}
    assert set(requests) == {"GET /tickets", "GET /called", "GET /broken"}
    for request in requests.values():
        assert answers[request["span_id"]]["trace_id"] == request["trace_id"] != program["trace_id"]
        assert [link["span_id"] for link in request["links"]] == [program["span_id"]]
    assert requests["GET /called"]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert requests["GET /called"]["parent_span_id"] == "b7ad6b7169203331"
    assert (requests["GET /tickets"]["status"], requests["GET /broken"]["status"]) == ("ok", "error")
    assert requests["GET /broken"]["attributes"]["http.response.status_code"] == 500


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetched(port: int, path: str, **headers: str) -> int:
    """The status of one request, once the server is there."""
    import urllib.error
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 30
    while True:
        try:
            with opener.open(
                urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=10
            ) as got:
                return int(got.status)
        except urllib.error.HTTPError as problem:
            return problem.code
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_request_that_wsgiref_serves_is_a_trace_of_its_own(write: Any, run: Run, spans: Any) -> None:
    script = write(
        """
        import threading, urllib.request
        from wsgiref.simple_server import WSGIRequestHandler, make_server
        from agentops import span

        class Quiet(WSGIRequestHandler):
            def log_message(self, *_): pass

        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            if environ["PATH_INFO"] == "/list":
                with span("in a list"): return [b"hello"]
            return pieces()

        def pieces():
            with span("in a generator"): yield b"he"
            yield b"llo"

        server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for path in ("/list", "/pieces"):
            url = f"http://127.0.0.1:{server.server_port}{path}"
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as got:
                assert got.read() == b"hello"
                print(path, got.headers["Content-Length"])
        server.shutdown()
        """
    )
    done = run("python", script)
    assert done.stdout == "/list 5\n/pieces None\n", done.stderr
    found = spans()
    assert found["in a list"]["parent_span_id"] == found["GET /list"]["span_id"]
    assert found["in a generator"]["parent_span_id"] == found["GET /pieces"]["span_id"]
    assert found["GET /list"]["trace_id"] != found["GET /pieces"]["trace_id"]


def test_the_programs_own_opentelemetry_gets_what_it_got_without_us(
    write: Any, run: Run, spans: Any, tmp_path: Path, environment: Any
) -> None:
    script = write(
        """
        import json, random, sys
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider, RandomIdGenerator
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        class Seeded(RandomIdGenerator):
            made = random.Random(7)
            def generate_trace_id(self): return self.made.getrandbits(128)
            def generate_span_id(self): return self.made.getrandbits(64)

        assert not trace.get_current_span().get_span_context().is_valid
        exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.3)), id_generator=Seeded())
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        tracer = trace.get_tracer("app")
        if len(sys.argv) > 1:
            import agentops
            agentops.init(otel=True)
        for n in range(100):
            with tracer.start_as_current_span(f"request {n}"):
                with tracer.start_as_current_span("inner"): pass
        print(json.dumps([(s.name, format(s.context.trace_id, "x"), s.parent and s.parent.span_id, len(s.links))
                          for s in exporter.get_finished_spans()]))
        """
    )
    done = run("python", script, "record them")
    alone = subprocess.run(["python", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == alone.returncode == 0, done.stderr
    assert done.stdout == alone.stdout
    assert 20 < done.stdout.count("request") < 40
    found = spans()
    requests = [span for name, span in found.items() if name.startswith("request")]
    assert requests
    assert all([link["span_id"] for link in span["links"]] == [found["agent.py"]["span_id"]] for span in requests)


def test_a_python_without_agentops_runs_all_the_same(run: Run, spans: Any, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = str(tmp_path / "bare/bin/python")
    done = run(python, "-c", "print('ran')")
    assert done.stdout == "ran\n"
    assert spans()[f"{Path(python).name} -c"]["status"] == "ok"
    assert "only its start and end were recorded" in last(done)
    assert f"install agentops-recorder there ({python} -m pip install" in last(done)


def test_a_python_that_cannot_be_reached_is_said(run: Run) -> None:
    assert "no Python was reached (-I, -E, -S" in last(run("python", "-I", "-c", "pass"))


def test_another_sitecustomize_is_not_lost(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/sitecustomize.py").write_text("import os\nif 'AGENTOPS_RUN' in os.environ: print('the own one')")
    done = run("python", "-c", "import sitecustomize; print(sitecustomize.__file__)", PYTHONPATH=str(tmp_path / "own"))
    assert done.stdout.splitlines() == ["the own one", str(tmp_path / "own/sitecustomize.py")]


def test_what_cannot_be_started_has_the_shells_exit_code(run: Run, tmp_path: Path) -> None:
    done = run("no-such-program")
    assert (done.returncode, done.stderr) == (
        127,
        "agentops: no-such-program cannot be started: No such file or directory\n",
    )
    (tmp_path / "text").write_text("")
    assert run("./text").returncode == 126
    assert run().returncode == 2


def test_switched_off_or_without_a_place_the_program_runs(run: Run, tmp_path: Path) -> None:
    off = run("python", "-c", "print(1)", AGENTOPS_ENABLED="false")
    assert (off.stdout, off.stderr, off.returncode) == ("1\n", "", 0)
    assert not (tmp_path / "traces.db").exists()
    gone = run(
        "python",
        "-c",
        "import os, shutil; shutil.rmtree(os.path.dirname(os.environ['AGENTOPS_STORE'])); exit(5)",
        AGENTOPS_STORE=str(tmp_path / "gone/traces.db"),
    )
    assert gone.returncode == 5
    (tmp_path / "file").write_text("")
    nowhere = run("python", "-c", "print(1)", AGENTOPS_STORE=str(tmp_path / "file/traces.db"))
    assert (nowhere.stdout, nowhere.returncode) == ("1\n", 0)
    assert "nothing is recorded" in nowhere.stderr


def test_whatever_is_wrong_with_the_store_the_programs_end_comes_through(run: Run, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "traces.db")) as another:
        another.execute("CREATE TABLE theirs (x)")
    done = run("python", "-c", "import sys; print('ran'); sys.exit(5)")
    assert (done.stdout, done.returncode) == ("ran\n", 5)
    assert "cannot be read" in last(done)


def test_a_notebooks_kernel_is_recorded(write: Any, run: Run, spans: Any) -> None:
    pytest.importorskip("ipykernel")
    write("print('imported')", "helper.py")
    script = write(
        """
        from jupyter_client.manager import KernelManager
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel()
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        client.execute_interactive("from agentops import span\\nwith span('in a cell'): pass", timeout=60)
        client.stop_channels()
        manager.shutdown_kernel()
        """,
        "notebook.py",
    )
    done = run("python", script)
    assert done.returncode == 0, done.stderr
    assert spans()["in a cell"]["parent_span_id"] == spans()["notebook.py"]["span_id"]


def test_the_bootstrap_watches_for_what_there_are_integrations_for() -> None:
    from importlib.metadata import entry_points

    tree = ast.parse((ROOT / "agentops/run/bootstrap/sitecustomize.py").read_text())
    named = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    watched, carrying = ast.literal_eval(named["WATCHED"]), ast.literal_eval(named["CARRYING"])
    found = {entry.name: entry.value for entry in entry_points(group="agentops.integrations")}
    assert {*watched, *carrying} == set(found)
    assert {name: found[name] for name in carrying} == {
        name: f"agentops_integrations.{integration}" for name, integration in carrying.items()
    }


@contextmanager
def started(script: str, folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A script that runs and may be talked to."""
    watched = subprocess.Popen(
        ["agentops", "run", "--", "python", script],
        cwd=folder, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with watched:
        try:
            yield watched
        finally:
            watched.kill()


@pytest.mark.parametrize("records", [True, False], ids=["records", "records nothing"])
def test_killing_only_the_wrapper_does_not_make_its_program_look_dead(
    records: bool, write: Any, environment: Any, tmp_path: Path, spans: Any
) -> None:
    step = "with agentops.span(word): pass" if records else "pass"
    script = write(
        f"""
        import sys
        import agentops
        for word in ("before", "after"):
            {step}
            print(word, flush=True)
            sys.stdin.readline()
        """
    )
    with started(script, tmp_path, environment) as watched:
        assert watched.stdin is not None and watched.stdout is not None
        assert watched.stdout.readline() == "before\n"
        wait_for(lambda: list((tmp_path / "traces.journal").glob("*.journal")) and "agent.py" in spans())
        watched.kill()
        watched.wait()
        assert spans()["agent.py"]["status"] == "running"
        watched.stdin.write("\n")
        watched.stdin.flush()
        assert watched.stdout.readline() == "after\n"
        assert spans()["agent.py"]["status"] == "running"
        watched.stdin.write("\n")
        watched.stdin.flush()
        assert watched.stdout.read() == ""  # it has ended
    wait_for(lambda: spans()["agent.py"]["status"] == "interrupted")
    ended = {name for name, span in spans().items() if span["status"] == "ok"}
    assert ended == ({"before", "after"} if records else set())


def test_what_a_program_leaves_running_keeps_no_journal(run: Run, spans: Any, tmp_path: Path) -> None:
    done = run("sh", "-c", "sleep 60 >&- 2>&- & echo $!; exit 3")
    try:
        assert (done.returncode, spans()["sh"]["status"]) == (3, "error")
        assert list((tmp_path / "traces.journal").glob("*.journal*")) == []
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_a_program_that_runs_does_not_keep_what_is_to_be_forgotten(
    write: Any, environment: Any, tmp_path: Path, spans: Any
) -> None:
    script = write("import sys\nprint('ready', flush=True)\nsys.stdin.read()")
    with started(script, tmp_path, environment) as watched:
        assert watched.stdin is not None and watched.stdout is not None
        assert watched.stdout.readline() == "ready\n"
        wait_for(lambda: list((tmp_path / "traces.journal").glob("*.journal")) and "agent.py" in spans())
        begun = set((tmp_path / "traces.journal").glob("*.journal"))
        done = subprocess.run(
            ["agentops", "forget", "--session", "nobody", "--yes"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert not begun & set((tmp_path / "traces.journal").glob("*.journal"))
        watched.stdin.close()
        assert watched.wait(30) == 0
    assert spans()["agent.py"]["status"] == "ok"


def test_a_child_that_native_code_forked_takes_nothing_away_of_what_its_parents_death_leaves(
    write: Any, run: Run, spans: Any
) -> None:
    script = write(
        """
        import ctypes, faulthandler, os, sys
        print("the last words", flush=True)
        child = ctypes.PyDLL(None).fork()  # none of Python's hooks know of it
        if child == 0:
            sys.exit()
        os.waitpid(child, 0)
        faulthandler._sigsegv()
        """
    )
    assert run("python", script).returncode == -signal.SIGSEGV
    told = {event["name"]: event["attributes"]["text"] for event in spans()["agent.py"]["events"]}
    assert told["last lines"] == "the last words"
    assert "agent.py" in told["crash"]

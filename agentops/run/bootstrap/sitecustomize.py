# Python imports this before a program that runs under `agentops run`, since its folder is first on PYTHONPATH. It
# must work in any Python, also one that has no agentops, and cost next to nothing: agentops itself is imported
# when the program, or a library that there is an integration for, asks for it.
import os
import sys

TYPE_CHECKING = False  # typing itself would have to be imported
if TYPE_CHECKING:
    from typing import Any

#: The modules of our integrations; a test compares them with the entry points.
WATCHED = ("anthropic", "openai", "opentelemetry.sdk.trace", "uvicorn", "wsgiref.handlers")
#: Those of the standard library: nearly every program imports them, and their integrations import nothing of ours.
CARRYING = {
    "concurrent.futures.process": "futures",
    "concurrent.futures.thread": "futures",
    "multiprocessing.pool": "multiprocessing",
    "multiprocessing.process": "multiprocessing",
    "subprocess": "subprocess",
    "threading": "threading",
}

#: Files of this process that whoever finds it dead reads.
_left: "list[str]" = []


def _report(line: str) -> None:
    try:
        with open(os.environ["AGENTOPS_RUN_REPORT"], "a") as report:
            report.write(line + "\n")
    except (KeyError, OSError, MemoryError):  # the run that this belonged to is over, or nothing can be said any more
        pass


class _Watch:
    """Waits for the first library of interest."""

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name in CARRYING:
            return _carrying(self, name, path, target)
        if name not in WATCHED:
            return None
        sys.meta_path.remove(self)
        try:
            from agentops.integrations import instrument, waiting

            instrument()
        except Exception as problem:  # noqa: BLE001
            _report(
                "no memory"
                if isinstance(problem, MemoryError)
                else "missing " + sys.executable + ": " + repr(problem)[:200]
            )
            return None
        return waiting.find_spec(name, path, target)


def _carrying(watch: _Watch, name: str, path: "Any", target: "Any") -> "Any":
    for finder in sys.meta_path:
        find_spec = None if finder is watch else getattr(finder, "find_spec", None)
        spec = None if find_spec is None else find_spec(name, path, target)
        if spec is not None:
            if spec.loader is not None:
                spec.loader = _Loader(spec.loader)
            return spec
    return None


class _Loader:
    """Another loader; what it has loaded is instrumented."""

    def __init__(self, loader: "Any") -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def exec_module(self, module: "Any") -> None:
        module.__loader__ = module.__spec__.loader = self._loader  # what there was without us
        self._loader.exec_module(module)
        _carry(module)


def _carry(module: "Any") -> None:
    try:
        name = "agentops_integrations." + CARRYING[module.__name__]
        __import__(name)
        sys.modules[name].instrument(module)
    except Exception:  # noqa: BLE001 - then what this program starts hangs below the program
        pass


def _at_exit() -> None:
    # What ended the program; the interpreter keeps it, whatever hook the program has set to print it.
    exception = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if exception is None and os.environ.get("AGENTOPS_RUN_BY") != str(os.getppid()):
        _leave_nothing()  # a child that ends well: there may be many
    if exception is not None:
        try:
            from agentops.run.child import uncaught

            uncaught(exception)
        except Exception as problem:  # noqa: BLE001 - what it says may hold what the exception says
            _not_recorded(exception, problem)
        if type(exception) is KeyboardInterrupt and not hasattr(sys, "ps1"):
            # Python ends by the signal unless code was compiled since, as imports do; this makes it remember.
            try:
                exec("raise KeyboardInterrupt")  # noqa: S102
            except KeyboardInterrupt:
                pass


def _not_recorded(exception: BaseException, problem: Exception) -> None:
    try:
        short = isinstance(exception, MemoryError) or isinstance(problem, MemoryError)
        _report("no memory" if short else "missing " + sys.executable + ": " + type(problem).__name__)
        if os.environ.get("AGENTOPS_RUN_BY") == str(os.getppid()):
            _report("ended " + type(exception).__qualname__)
    except MemoryError:
        pass


def _leave_nothing() -> None:
    paths, _left[:] = _left[:], []
    notes = sys.modules.get("_agentops_notes")
    if notes is not None and notes._lines.map is not None:
        paths.append(notes._lines.path)
    for path in paths:
        if f"-{os.getpid()}-" not in os.path.basename(path):
            continue  # its parent's, which goes on
        try:
            os.unlink(path)
        except OSError:
            pass


def _take_notes() -> None:
    """Have something to tell if the program dies."""
    import _agentops_notes as notes  # type: ignore[import-not-found]

    run = os.environ["AGENTOPS_RUN"].split("-")[1]
    notes.keep_lines(run)
    counted = notes.kills_for_memory()
    if counted is not None:
        _report(f"memory {counted[1]} {counted[0]}")
    folder = os.path.splitext(os.environ["AGENTOPS_STORE"])[0] + ".journal"
    path = notes.watch_for_crash(folder, run)
    if path is not None:
        _left.append(path)


def _begin() -> None:
    # What importlib.util.find_spec does; that module would have to be imported.
    specs = (finder.find_spec("agentops", None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    found = next(filter(None, specs), None) if sys.version_info >= (3, 11) else None
    if found is None or not os.path.isdir(os.path.join(os.path.dirname(found.origin or ""), "run")):
        _report("missing " + sys.executable)
        return
    import atexit

    _report("ok")
    try:
        _take_notes()
    except Exception:  # noqa: BLE001 - no such folder, no such system: then there will be less to tell
        pass
    for name in CARRYING:
        if name in sys.modules:
            _carry(sys.modules[name])
    sys.meta_path.insert(0, _Watch())
    atexit.register(_at_exit)


def _next() -> None:
    """The sitecustomize that this one stands before."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if not folder or os.path.abspath(folder) != here]
    ours = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as problem:
        if problem.name != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", ours)


try:
    _begin()
except Exception as problem:  # noqa: BLE001
    _report("missing " + sys.executable + ": " + repr(problem)[:200])
_next()

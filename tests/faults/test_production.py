"""`agentops doctor --production`: what a deployment needs, each with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_what_a_deployment_needs_is_checked(tmp_path: Path, watched: Any, doctor: Any) -> None:
    store = tmp_path / "traces.db"
    watched("with span('x'): pass\nagentops.flush()", store)
    plain, found = doctor(store), doctor(store, "--production")
    new = {name: check for name, check in found.items() if name not in plain}
    assert set(new) == {"room", "forking", "redaction", "export"}
    assert new["forking"][:2] == (True, "a forked child records into its parent's trace")
    assert found["horizon"][0] and "MB of 5 GB; reaches back to" in found["horizon"][1]
    assert not new["redaction"][0] and "AGENTOPS_REDACT=pii" in new["redaction"][2]
    assert new["export"][:2] == (
        True, "none is configured; whether a program calls agentops.init(export=...) cannot be seen from outside",
    )  # fmt: skip


def test_a_disk_that_cannot_hold_a_full_store_is_named(mounted: Any, doctor: Any) -> None:
    place = mounted("tmpfs", "-o", "size=200m")
    assert doctor(place / "traces.db")["writable"][0]
    ok, says, advice = doctor(place / "traces.db", "--production")["room"]
    assert not ok and "5000 MB should be" in says and "free some room" in advice


def test_the_horizon_is_told(tmp_path: Path, watched: Any, doctor: Any) -> None:
    store = tmp_path / "traces.db"
    watched("with span('now'): pass\nagentops.flush()", store)
    import sqlite3

    connection = sqlite3.connect(store)
    connection.execute("UPDATE traces SET start_ns = start_ns - 3 * 86400 * 1000000000")
    connection.commit()
    connection.close()
    watched("with span('now'): pass\nagentops.flush()", store)
    ok, says, _ = doctor(store)["horizon"]
    assert ok and "MB of 5 GB; reaches back to" in says and says.endswith("days are kept")

"""`import agentops` beside the distribution of that name that belongs to another project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_first_import_says_that_the_other_project_is_installed_too(tmp_path: Path) -> None:
    (tmp_path / "site-packages" / "agentops-0.4.21.dist-info").mkdir(parents=True)
    program = f"import sys; sys.path.append({str(tmp_path / 'site-packages')!r}); import agentops"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr
    assert "pip uninstall agentops" in said
    quiet = subprocess.run([sys.executable, "-c", "import agentops"], capture_output=True, text=True, check=True).stderr
    assert quiet == ""

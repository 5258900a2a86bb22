"""An environment for each peer: made once, from a hashed lock, wheels only, and made anew when the lock changes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LOCKS = ROOT / "requirements" / "bench-peers"
ENVIRONMENTS = ROOT / ".venv-bench-peers"


def python_of(name: str) -> Path:
    """Give the interpreter of an environment, which is made where it is missing or old."""
    lock, folder = LOCKS / f"{name}.txt", ENVIRONMENTS / name
    python, stamp = folder / "bin" / "python", folder / "made-from"
    wanted = f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {sys.version}"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"setting up {folder.relative_to(ROOT)} (once)", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--only-binary", ":all:", "--require-hashes", "-r", str(lock)], check=True)
        stamp.write_text(wanted)
    return python

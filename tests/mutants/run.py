"""Plants one fault after another in a copy of the source, and sees whether the tests find it.

`python -m tests.mutants.run [WORD ...]` (`make mutants`), from the root of the checkout; words pick plants whose file
or purpose holds one of them. A plant is found when its tests fail, and pass without it. Ends with 1 if one is not.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.plants import PLANTS, Plant

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("streamproc", "tests", "bench", "docs", "README.md", "pyproject.toml")
AT_ONCE = 2
SECONDS = 400.0


def copy_of(target: Path) -> Path:
    """Copy what tests need."""
    target.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target / name)
    return target


def fails(root: Path, tests: Sequence[str]) -> bool:
    """Run tests in a copy; tell whether one failed, or they took so long that they must hang."""
    options = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-n0", "--timeout=60"]
    command = [sys.executable, "-B", "-m", "pytest", *options, *tests]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


def try_out(plant: Plant, roots: "SimpleQueue[Path]") -> bool:
    """Plant one fault; tell whether it is found."""
    root = roots.get()
    try:
        file = root / "streamproc" / plant.file
        sound = file.read_text()
        if sound.count(plant.before) != 1:
            raise RuntimeError(
                f"{plant.file}: {plant.before!r} stands there {sound.count(plant.before)} times, not once"
            )
        file.write_text(sound.replace(plant.before, plant.after))
        begun = time.monotonic()
        try:
            found = fails(root, plant.tests)
        finally:
            file.write_text(sound)
        words = "found" if found else "NOT FOUND"
        print(f"{words:>9} {time.monotonic() - begun:5.0f} s  {plant.file}: {plant.purpose}", flush=True)
        return found
    finally:
        roots.put(root)


def main(words: Sequence[str]) -> int:
    """Try them all."""
    chosen = [plant for plant in PLANTS if not words or any(w in f"{plant.file} {plant.purpose}" for w in words)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        roots: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            roots.put(copy_of(Path(folder) / str(number)))
        found = list(pool.map(lambda plant: try_out(plant, roots), chosen))
    print(f"{sum(found)} of {len(found)} planted faults found")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

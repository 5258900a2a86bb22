"""What the gate counts, with a slow line planted: `python slow_line.py TURNS FOLDER CHECK...`."""

import sys
from itertools import repeat
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import streamproc.pipeline.task as planted_in
from bench.gate.counted import main


def plant(turns: int) -> None:
    """Have each prompt that is rendered cost so many turns of an empty loop more."""
    compile_prompt = planted_in.compile_prompt

    def slowly(prompt):
        render = compile_prompt(prompt)

        def rendered(data):
            for _ in repeat(None, turns):
                pass
            return render(data)

        return rendered

    planted_in.compile_prompt = slowly


if __name__ == "__main__":
    plant(int(sys.argv[1]))
    main(Path(sys.argv[2]), sys.argv[3:])

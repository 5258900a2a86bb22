"""`python -m tests.faults.peak_memory COMMAND...` runs a command and prints the most bytes it had in memory at once."""

import resource
import subprocess
import sys

if __name__ == "__main__":
    status = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
    sys.exit(status)

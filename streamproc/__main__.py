"""`python -m streamproc` is the command `streamproc`."""

from streamproc.cli.interruptions import leave_when_interrupted
from streamproc.cli.standard_streams import let_go_of_streams, open_closed_streams


def main() -> None:
    """Run the command; a signal ends it with a sentence from the first moment on."""
    leave_when_interrupted()
    open_closed_streams()
    from streamproc.cli.app import main as command

    try:
        command()
    finally:
        let_go_of_streams()


if __name__ == "__main__":
    main()

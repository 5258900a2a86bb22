"""`python -m streamproc` is the command `streamproc`."""

from streamproc.cli.app import main

main()

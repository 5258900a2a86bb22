"""Policy: how many should move, and when. Pure: numbers in, numbers out; no clock, no event loop, no I/O."""

"""A gate: what streamproc does for a record is counted in instructions, and may not grow unseen."""

"""What a person or a machine sees of a run: logs and progress."""

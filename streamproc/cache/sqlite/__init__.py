"""A cache in a SQLite file."""

"""Mechanism: how things move. Knows no cache, no model and no file, and decides no sizes."""

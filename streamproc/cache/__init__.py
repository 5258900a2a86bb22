"""Bytes under string keys: bounded, persistent where asked, never wrong. Knows no record and no model."""

"""Hypothesis without a deadline: the real time that an example takes says nothing about a law."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

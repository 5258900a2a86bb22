"""Adapters to other frameworks. Each needs an extra of its own, and nothing else in the package imports them."""

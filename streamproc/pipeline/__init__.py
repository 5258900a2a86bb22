"""Assembly: the only package that knows sources, cache, model and sinks together."""

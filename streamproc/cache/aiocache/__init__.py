"""The bridge to aiocache, in both directions."""

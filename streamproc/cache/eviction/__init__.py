"""Which entry goes when a cache is full: one protocol, three answers."""

"""A model endpoint as arithmetic, the servers and completers that front it, and a loop on virtual time."""

"""Controllers of concurrency against simulated endpoints in virtual time: no clock, no sockets, no event loop."""

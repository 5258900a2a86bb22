"""The same work through streamproc and through what people use instead, each in an environment of its own."""

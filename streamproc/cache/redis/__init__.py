"""A cache on a Redis or Valkey server, shared by processes and machines. Needs the extra `redis`."""

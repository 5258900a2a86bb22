"""Where outcomes go, and with them the checkpoint: both durable, or neither."""

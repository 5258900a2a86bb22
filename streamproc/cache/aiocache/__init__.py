"""Where our caches and aiocache's meet: each can stand in the other's place."""

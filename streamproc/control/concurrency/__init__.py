"""How many model calls at once: measure goodput at each limit, keep the smallest that gives the best."""

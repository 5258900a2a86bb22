"""How a request's bytes get to the endpoint and an answer's bytes back: the role, and two ways to play it."""

"""One request, one completion: clients of model endpoints, and what keeps them within limits."""

"""What is measured: a file a scenario, and what only it needs."""

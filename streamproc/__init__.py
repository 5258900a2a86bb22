"""Send thousands to millions of records through a language model, each exactly once."""

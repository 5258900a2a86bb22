"""Tools for tests, of ours and of plug-in authors."""

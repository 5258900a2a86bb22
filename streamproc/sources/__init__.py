"""Where records come from. A source gives rows in a stable order and never stops for a bad one."""

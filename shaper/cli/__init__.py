"""Floor 4: the commands. The only place where the floors below are put together."""

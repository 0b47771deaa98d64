"""Floor 0: bytes against time. Pure: no clock is read here and no I/O is done; `now` is an argument.

Instants are seconds (float) on one monotonic clock of the caller's choosing. Sizes are bytes, rates bytes per second.
"""

"""Floor 2: what happened, as one frozen record a transfer, and where records go."""

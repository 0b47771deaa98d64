"""Floor 1: which bytes, when, for whom. Pure; only `load` knows YAML."""

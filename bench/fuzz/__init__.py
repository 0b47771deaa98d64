"""Fuzzing: the property tests' own laws, played for as long as one likes."""

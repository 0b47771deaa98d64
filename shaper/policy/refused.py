"""What is wrong with a value and what to write instead: the one error of this floor.

It is a ValueError, so pydantic carries it to `load`, which adds file, line and subject.
"""


class RefusedError(ValueError):
    """A problem and its remedy; `at` leads from where it is raised to the value that is at fault."""

    def __init__(self, problem: str, remedy: str, at: tuple[str | int, ...] = ()) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy
        self.at = at


def shown(value: object) -> str:
    """Return the value in double quotes, on one line and cut to a readable length."""
    text = str(value)
    if value is None or isinstance(value, bool):
        text = "null" if value is None else text.lower()
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:60])
    return f'"{text}"'

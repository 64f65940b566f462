"""What is wrong with a recurrence."""


class RecurrenceError(ValueError):
    """A recurrence that is not taken. `line` is the index of the line at fault, None where it is the whole."""

    def __init__(self, detail: str, line: int | None = None) -> None:
        super().__init__(detail)
        self.line = line

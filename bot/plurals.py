"""Numbers in sentences. Pure, and imports nothing, for commands must answer at once."""


def count(number: int, thing: str) -> str:
    """`1 vote`, `2 votes`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"

"""Numbers in sentences. Pure."""


def count(number: int, thing: str) -> str:
    """`1 vote`, `2 votes`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"

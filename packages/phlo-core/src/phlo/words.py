"""Words of messages."""


def counted(count: int, noun: str) -> str:
    """Format a number with its noun, singular or plural.

    >>> counted(1, "asset"), counted(1200, "row")
    ('1 asset', '1,200 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

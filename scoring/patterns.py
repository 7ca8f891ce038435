"""Event-name patterns: dotted names in which `*` stands for any run of characters."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=4096)
def overlap(one: str, other: str) -> bool:
    """Whether some name meets both patterns."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(other, one)
    return one[0] == other[0] and overlap(one[1:], other[1:])


def any_overlap(some: Iterable[str], others: Iterable[str]) -> bool:
    others = tuple(others)
    return any(overlap(one, other) for one in some for other in others)


def condition(patterns: Iterable[str], column: str = "name") -> str:
    """The SQL test for "this name meets one of the patterns"."""
    patterns = sorted(set(patterns))
    exact = [f"'{pattern}'" for pattern in patterns if "*" not in pattern]
    tests = [f"{column} = {exact[0]}"] if len(exact) == 1 else []
    if len(exact) > 1:
        tests = [f"{column} in ({', '.join(exact)})"]
    tests += [_like(pattern, column) for pattern in patterns if "*" in pattern]
    return tests[0] if len(tests) == 1 else f"({' or '.join(tests)})"


def _like(pattern: str, column: str) -> str:
    if "_" not in pattern:
        return f"{column} like '{pattern.replace('*', '%')}'"
    escaped = pattern.replace("_", "!_").replace("*", "%")  # "_" would stand for any one character
    return f"{column} like '{escaped}' escape '!'"

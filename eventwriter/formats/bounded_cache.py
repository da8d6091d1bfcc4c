"""A cache of computed values with a limit on its size."""

from collections.abc import Callable
from typing import Generic, TypeVar

KEYS_MAX = 10_000
"""Largest number of keys. Subjects and device names come from outside, so their number is unbounded."""

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(dict[K, V], Generic[K, V]):
    """
    A dict that computes missing values and empties itself when it holds `KEYS_MAX` keys.

    A hit costs as much as a dict lookup (40 ns), because no Python function is called.

    Args:
        compute: Returns the value of a key.
    """

    def __init__(self, compute: Callable[[K], V]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, key: K) -> V:
        """Compute and store the value of a new key."""
        if len(self) >= KEYS_MAX:
            self.clear()
        value = self[key] = self._compute(key)
        return value

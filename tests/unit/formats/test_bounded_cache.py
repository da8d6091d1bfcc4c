"""Tests of the bounded cache."""

from eventwriter.formats.bounded_cache import KEYS_MAX, BoundedCache


def test_value_is_computed_once() -> None:
    """The value of a key is computed at its first lookup and then kept."""
    computed: list[str] = []
    cache = BoundedCache[str, int](lambda key: computed.append(key) or len(key))

    assert (3, 3, ["abc"]) == (cache["abc"], cache["abc"], computed)


def test_number_of_keys_is_bounded() -> None:
    """The cache never holds more than `KEYS_MAX` keys."""
    cache = BoundedCache[int, int](lambda key: -key)

    assert [-n for n in range(KEYS_MAX + 5)] == [cache[n] for n in range(KEYS_MAX + 5)]
    assert 5 == len(cache)

"""Values that are made once."""

from eventwriter.formats.bounded_cache import KEYS_MAX, BoundedCache


def test_a_value_is_made_once() -> None:
    """A key's value is made when it is first asked for, and kept."""
    made: list[str] = []
    remembered = BoundedCache[str, int](lambda key: made.append(key) or len(key))

    assert (3, 3, ["abc"]) == (remembered["abc"], remembered["abc"], made)


def test_memory_is_bounded() -> None:
    """However many different keys come, no more than the maximum are kept."""
    remembered = BoundedCache[int, int](lambda key: -key)

    assert [-n for n in range(KEYS_MAX + 5)] == [remembered[n] for n in range(KEYS_MAX + 5)]
    assert 5 == len(remembered)

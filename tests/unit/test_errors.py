"""What errors say."""

from eventwriter.errors import DETAIL_CHARACTERS_MAX, Poison


def test_long_sentence_is_cut() -> None:
    """A payload's value does not make a dead letter's sentence, or a line of the log, longer than can be read."""
    poison = Poison("bad_value", f"value {'9' * 10_000} is no number")

    assert DETAIL_CHARACTERS_MAX == len(poison.detail)
    assert poison.detail.endswith("999...")
    assert len(str(poison)) < DETAIL_CHARACTERS_MAX + 20

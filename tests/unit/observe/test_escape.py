"""Escaping of foreign text: every character that a terminal obeys or that changes what is displayed."""

import json
import sys
import unicodedata

import pytest

from eventwriter.observe.escape import printable, printable_json, printable_line

VISIBLE_FORMAT = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Signs of category Cf that are displayed."""
JOINERS = "\u200c\u200d"
UNSAFE = [
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in VISIBLE_FORMAT + JOINERS
]


def test_every_unsafe_character_is_escaped_in_text() -> None:
    """Controls, surrogates, separators and invisible format characters become ASCII; only tab and line feed stay."""
    kept = [character for character in UNSAFE if character in printable(f"a{character}b")]

    assert ["\t", "\n"] == kept
    assert all(printable(character).isascii() for character in UNSAFE)
    assert ["\t"] == [character for character in UNSAFE if character in printable_line(character)]


def test_json_has_no_unsafe_character_and_the_same_value() -> None:
    """JSON of every unsafe character contains none of them, and is read as the same text."""
    text = "".join(character for character in UNSAFE if not "\ud800" <= character <= "\udfff")
    escaped = printable_json(json.dumps(text, ensure_ascii=False))

    assert [] == [character for character in UNSAFE if character in escaped]
    assert text == json.loads(escaped)


@pytest.mark.parametrize("text", ["", "plain", "Grüße, 表, Ω, नमस्ते", "👩\u200d🔬", "a\tb\nc", "نامه\u200cای"])
def test_harmless_text_is_unchanged(text: str) -> None:
    """Letters of any script, joined ones too, pass as they are."""
    assert text == printable(text)
    assert text == printable_json(text)


def test_escapes_look_as_in_python() -> None:
    """An escape has the shortest of Python's forms."""
    assert r"\x1b[2J \x0d \x85 \u202e \U000e0041" == printable("\x1b[2J \r \x85 \u202e \U000e0041")

r"""
Escaping of foreign text where it leaves the program: for a terminal, a log or a service manager.

Payloads, subjects, headers, row values, server errors and answers of a peer are foreign. A terminal
obeys control characters in them, and format characters reorder or hide what is displayed. Both are replaced
by a visible escape: `\x1b` or `\u202e` in text, `\u001b` or `\u202e` in JSON, where the value stays the same.
"""

import re

_FORMAT = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Invisible format characters (Unicode category Cf) and unassigned ones of their blocks. Not among them are the joiners
U+200C and U+200D, which many scripts need, and signs that are visible."""
_CLASSES = f"\x7f-\x9f\u2028\u2029\ud800-\udfff{_FORMAT}"

_UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f{_CLASSES}]")
"""Everything unsafe except tabulators and line feeds."""
_UNSAFE_JSON = re.compile(f"[{_CLASSES}]")
"""Characters that JSON does not escape by itself."""


def printable(text: str) -> str:
    """Return text with unsafe characters escaped as in Python; tabulators and line feeds stay."""
    return _UNSAFE.sub(_python_escape, text)


def printable_line(text: str) -> str:
    """Return text as one line, with unsafe characters escaped."""
    return printable(text.replace("\n", " "))


def printable_json(json_text: str) -> str:
    """Return JSON text with unsafe characters in its strings escaped; it stands for the same value."""
    return _UNSAFE_JSON.sub(_json_escape, json_text)


def _python_escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"

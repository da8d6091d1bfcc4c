"""
Errors in the configuration as sentences: key, value, what is allowed, and what was probably meant. Pure.

Values of keys that may hold secrets are never quoted.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eventwriter.config.durations import format_duration
from eventwriter.config.settings.fields import NATS_NAME
from eventwriter.config.settings.postgres import PORTS
from eventwriter.config.settings.streams import ENTRY_NAME

Path = tuple[str | int, ...]

_SECRET_WORDS = ("password", "token", "dsn", "secret", "servers", "runtime_params")
_MAY_BE_SECRET = re.compile(
    r"://|@|-----BEGIN|\bS[A-Z2-7]{50,}|(?:password|passwd|token|secret|user|host|dbname)\"?\s*[=:]", re.IGNORECASE
)
"""A URL, a login, a connection string, or a key, possibly under a key where none is expected."""
_HIDDEN = "the value"
_VALUE_CHARS_MAX = 60
_KNOWN_KEYS_MAX = 14
"""Longest list of known keys that helps on a screen."""


class SettingError(str):
    """
    One error in the configuration: a sentence for people, with its key and code for programs.

    Attributes:
        key: Key path as the file has it, like `streams[0].batch_size`, or the name of a variable.
        code: `unknown_key`, `missing`, `wrong_type`, `too_small`, `too_large`, `not_allowed`, `invalid`,
            `conflict`, `duplicate`, `unreadable`.
    """

    key: str
    code: str

    def __new__(cls, key: str, code: str, message: str) -> "SettingError":
        """Return the error; its text is the key and the message."""
        return cls._made(key, code, f"{key}: {message}")

    @classmethod
    def unknown_key(cls, path: Path, names: Mapping[Path, str], known: Iterable[str]) -> "SettingError":
        """Return the error for an unknown key, with the nearest known one."""
        place = f" in {key_name(path[:-1], names)}" if len(path) > 1 else ""
        word = str(path[-1])
        return cls._made(key_name(path, names), "unknown_key", f"Unknown key '{word}'{place}{suggest(word, known)}")

    @classmethod
    def _made(cls, key: str, code: str, text: str) -> "SettingError":
        error = super().__new__(cls, text)
        error.key, error.code = key, code
        return error


_TYPES: Mapping[str, tuple[str, str]] = {
    "int_parsing": ("wrong_type", "not a whole number"),
    "int_type": ("wrong_type", "not a whole number"),
    "int_from_float": ("wrong_type", "not a whole number"),
    "float_parsing": ("wrong_type", "not a number"),
    "float_type": ("wrong_type", "not a number"),
    "string_type": ("wrong_type", "not text"),
    "string_sub_type": ("wrong_type", "not text"),
    "string_too_short": ("too_small", "empty; at least one character is required"),
    "bool_type": ("wrong_type", "neither true nor false"),
    "bool_parsing": ("wrong_type", "neither true nor false"),
    "tuple_type": ("wrong_type", "not a list"),
    "dict_type": ("wrong_type", "not an object with keys"),
    "model_type": ("wrong_type", "not an object with keys"),
    "model_attributes_type": ("wrong_type", "not an object with keys"),
    "too_short": ("too_small", "empty; at least one element is required"),
}
"""Type of a pydantic error → code, and what the value is."""

_BOUNDS: Mapping[str, tuple[str, str, str]] = {
    "greater_than_equal": ("too_small", "ge", "the minimum is"),
    "less_than_equal": ("too_large", "le", "the maximum is"),
    "greater_than": ("too_small", "gt", "it must be greater than"),
    "less_than": ("too_large", "lt", "it must be less than"),
}
_PATTERNS: Mapping[str, str] = {
    NATS_NAME: "not a valid name: white space, dots, slashes and the wildcards * and > are not allowed",
    ENTRY_NAME: "not a valid name: white space and slashes are not allowed",
    PORTS: "neither a port nor a list of ports, one for each host, separated by commas",
}


def setting_errors(
    error: ValidationError, model: type[BaseModel], base: Path, names: Mapping[Path, str]
) -> list[SettingError]:
    """
    Return the errors that pydantic found.

    Args:
        error: The exception raised by validating `model`.
        model: The validated section.
        base: Key path of the section within the whole configuration.
        names: Names of key paths that were written differently: a variable, or a key of the Go writer.
    """
    found = error.errors(include_url=False)
    # pydantic does not count invalid elements of a list, and then also reports the list as too short.
    lists = {details["loc"][:-1] for details in found}
    reported = [details for details in found if not (details["type"] == "too_short" and details["loc"] in lists)]
    return [_setting_error(details, model, base, names) for details in reported]


def _setting_error(
    details: ErrorDetails, model: type[BaseModel], base: Path, names: Mapping[Path, str]
) -> SettingError:
    location: Path = details["loc"]
    path = (*base, *location)
    if details["type"] == "extra_forbidden":
        return SettingError.unknown_key(path, names, keys(_section(model, location[:-1])))
    if details["type"] == "missing":
        return SettingError(key_name(path, names), "missing", "this key is required")
    code, description = describe(details)
    value = _HIDDEN if is_secret(path) else _value(details)
    return SettingError(key_name(path, names), code, f"{value} is {description}")


def describe(details: ErrorDetails) -> tuple[str, str]:
    """Return the code of an error, and a description that follows "the value is"."""
    kind, context = details["type"], details.get("ctx", {})
    if kind in _BOUNDS:
        code, key, words = _BOUNDS[kind]
        unit = "s" if isinstance(details["input"], float) else ""
        return code, f"too {'small' if code == 'too_small' else 'large'}; {words} {context[key]:g}{unit}"
    if kind == "literal_error":
        return "not_allowed", f"not allowed; allowed values are {context['expected'].translate(_LIST)}"
    if kind == "string_pattern_mismatch":
        return "invalid", _PATTERNS[context["pattern"]]
    return _TYPES.get(kind) or ("invalid", details["msg"].removeprefix("Value error, "))


_LIST = str.maketrans("", "", "'")


def _value(details: ErrorDetails) -> str:
    # Only durations are floats, and bounds are checked after parsing them.
    is_duration = details["type"] in _BOUNDS and isinstance(details["input"], float)
    return format_duration(details["input"]) if is_duration else display(details["input"])


def key_name(path: Path, names: Mapping[Path, str]) -> str:
    """Return a key path as the user wrote it: `streams[0].batch_size`, or the name of a variable."""
    for length in range(len(path), 0, -1):
        if name := names.get(path[:length]):
            return name + dotted(path[length:])
    return dotted(path).removeprefix(".")


def dotted(path: Path) -> str:
    """Return a path with a dot before each key, and positions in brackets."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def is_secret(path: Path) -> bool:
    """Return whether a key may hold a secret."""
    return any(word in str(part).lower() for part in path for word in _SECRET_WORDS)


def display(value: Any) -> str:
    """Return a value as JSON, truncated to `_VALUE_CHARS_MAX`; "the value" if it may contain a secret."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    if _MAY_BE_SECRET.search(text):
        return _HIDDEN
    return text if len(text) <= _VALUE_CHARS_MAX else text[: _VALUE_CHARS_MAX - 1] + "…"


def keys(model: type[BaseModel] | None) -> list[str]:
    """Return the keys of a section as a file has them."""
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def suggest(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown word: the nearest known word, or a short list of all."""
    all_known = list(known)
    prefixed = [candidate for candidate in all_known if candidate.startswith(f"{word}_")]
    close = [match for text in (word, word.lower()) for match in difflib.get_close_matches(text, all_known, 1)]
    if nearest := [*close, *prefixed][:1]:
        return f"; did you mean '{nearest[0]}'?"
    return f"; known are {', '.join(all_known)}" if 0 < len(all_known) <= _KNOWN_KEYS_MAX else ""


def _section(model: type[BaseModel], location: Path) -> type[BaseModel] | None:
    """Return the section that a path within a model leads to."""
    section: type[BaseModel] | None = model
    is_name = False
    for part in location:
        if isinstance(part, int) or section is None or is_name:
            is_name = False
            continue
        field = next((f for name, f in section.model_fields.items() if part in (name, f.alias)), None)
        section = section_of(field.annotation) if field else None
        # In a mapping of sections, any name follows the key.
        is_name = field is not None and get_origin(field.annotation) is dict
    return section


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section within a type like `NatsTls | None` or `tuple[StreamSettings, ...]`."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None

"""
What pydantic finds wrong, as sentences: key path, value, what is allowed, what was probably meant. Pure.

Values of keys that hold secrets are never repeated.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eventwriter.config import durations

Path = tuple[str | int, ...]

_SECRET_WORDS = ("password", "token", "dsn", "secret", "servers", "runtime_params")
_SHOWN_MAX = 60
_KNOWN_SHOWN_MAX = 14
"""A list of more known keys than these is no help on a screen."""

_WANTED: Mapping[str, str] = {
    "int_parsing": "a whole number is wanted",
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "float_parsing": "a number is wanted",
    "float_type": "a number is wanted",
    "string_type": "text is wanted",
    "string_sub_type": "text is wanted",
    "string_too_short": "it must not be empty",
    "bool_type": "true or false is wanted",
    "bool_parsing": "true or false is wanted",
    "tuple_type": "a list is wanted",
    "dict_type": "an object with keys is wanted",
    "model_type": "an object with keys is wanted",
    "model_attributes_type": "an object with keys is wanted",
    "too_short": "at least one is wanted",
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "above"),
    "less_than": ("lt", "below"),
}


def sentences(error: ValidationError, model: type[BaseModel], base: Path, names: Mapping[Path, str]) -> list[str]:
    """
    Return one sentence for each thing that is wrong.

    Args:
        error: What validating `model` raised.
        base: Key path of the validated part within the whole configuration.
        names: What to call a path, where it was not written under its own name: a variable, a Go key.
    """
    return [_sentence(wrong, model, base, names) for wrong in error.errors(include_url=False)]


def _sentence(wrong: ErrorDetails, model: type[BaseModel], base: Path, names: Mapping[Path, str]) -> str:
    loc: Path = wrong["loc"]
    path = (*base, *loc)
    if wrong["type"] == "extra_forbidden":
        return f"{named(path, names)}: not a known key{near(str(loc[-1]), keys(_section(model, loc[:-1])))}"
    if wrong["type"] == "missing":
        return f"{named(path, names)}: missing; it is required"
    value = "" if is_secret(path) else f"{_given(wrong)}; "
    return f"{named(path, names)}: {value}{wanted(wrong)}"


def _given(wrong: ErrorDetails) -> str:
    # Only durations are float, and read by then.
    is_duration = wrong["type"] in _BOUNDS and isinstance(wrong["input"], float)
    return durations.shown(wrong["input"]) if is_duration else shown(wrong["input"])


def named(path: Path, names: Mapping[Path, str]) -> str:
    """Write a key path as people do: `streams[0].batch_size`."""
    for length in range(len(path), 0, -1):
        if name := names.get(path[:length]):
            return name + dotted(path[length:], follows=True)
    return dotted(path)


def dotted(path: Path, *, follows: bool = False) -> str:
    """Join keys with dots and positions with brackets; `follows` where something stands before."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text if follows else text.removeprefix(".")


def wanted(wrong: ErrorDetails) -> str:
    """Say what is allowed."""
    kind, context = wrong["type"], wrong.get("ctx", {})
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        unit = "s" if isinstance(wrong["input"], float) else ""
        return f"{words} {context[key]:g}{unit} is wanted"
    if kind == "literal_error":
        return f"allowed are {context['expected'].replace(chr(39), '').replace(' or ', ', ')}"
    if kind == "string_pattern_mismatch":
        return (
            "a number, or one for each host with commas between, is wanted"
            if r"\d" in context["pattern"]
            else ("a name without white space, slashes, dots and wildcards is wanted")
        )
    return _WANTED.get(kind) or wrong["msg"].removeprefix("Value error, ")


def is_secret(path: Path) -> bool:
    """Say whether a key may hold a secret."""
    return any(word in str(part).lower() for part in path for word in _SECRET_WORDS)


def shown(value: Any) -> str:
    """Write a value as JSON, cut where it is long."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


def keys(model: type[BaseModel] | None) -> list[str]:
    """Return the keys of a section, as they are written in a file."""
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def near(word: str, known: Iterable[str]) -> str:
    """Return how to go on after "not a known …": the nearest known word, or all of them where they are few."""
    all_known = list(known)
    begun = [one for one in all_known if one.startswith(f"{word}_")]
    found = [match for tried in (word, word.lower()) for match in difflib.get_close_matches(tried, all_known, 1)]
    if nearest := [*found, *begun][:1]:
        return f"; did you mean {nearest[0]}?"
    return f"; known are {', '.join(all_known)}" if 0 < len(all_known) <= _KNOWN_SHOWN_MAX else ""


def _section(model: type[BaseModel], loc: Path) -> type[BaseModel] | None:
    """Return the record that a path leads to."""
    found: type[BaseModel] | None = model
    is_name = False
    for part in loc:
        if isinstance(part, int) or found is None or is_name:
            is_name = False
            continue
        field = next((f for name, f in found.model_fields.items() if part in (name, f.alias)), None)
        found = record_in(field.annotation) if field else None
        # What follows the key of a mapping of sections is any name.
        is_name = field is not None and get_origin(field.annotation) is dict
    return found


def record_in(annotation: Any) -> type[BaseModel] | None:
    """Return the record within a type like `NatsTls | None` or `tuple[StreamSettings, ...]`."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None

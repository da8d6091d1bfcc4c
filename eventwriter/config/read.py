"""One configuration file, JSON or TOML, as plain Python; every way that goes wrong is a sentence."""

import json
import tomllib
from typing import Any

from eventwriter.errors import ConfigError

FILE_BYTES_MAX = 4 * 1024 * 1024
"""Far above any configuration; what is bigger is some other file."""


def read(path: str) -> dict[str, Any]:
    """
    Read a file; TOML where its name ends in `.toml`, else JSON.

    Raises:
        ConfigError: It cannot be read, or is not of that language; with the line and the column.
    """
    text = _text(path)
    try:
        data = tomllib.loads(text) if path.endswith(".toml") else json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ConfigError(
            [f"{path}: line {error.lineno}, column {error.colno}: no JSON: {_hint(text, error)}"]
        ) from None
    except _Twice as error:
        raise ConfigError([f"{path}: the key {error.key!r} is there twice in one object; remove one"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: no TOML: {error}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deeply to be a configuration"]) from None
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: holds a {type(data).__name__}; an object with keys is wanted"])
    return data


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except IsADirectoryError:
        raise ConfigError([f"{path}: is a folder; the path of a JSON or TOML file is wanted"]) from None
    except OSError as error:
        words = error.strerror or str(error)
        raise ConfigError([f"{path}: cannot be read: {words}; check the path and its permissions"]) from None
    except ValueError as error:  # a zero byte in the path
        raise ConfigError([f"{path!r}: cannot be read: {error}; check the path"]) from None
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigError([f"{path}: is above {FILE_BYTES_MAX // 1024**2} MiB, so it is no configuration"])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}: line {line}: is no text in UTF-8; save it as that"]) from None


class _Twice(Exception):
    """A key is there twice."""

    def __init__(self, key: str) -> None:
        self.key = key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # JSON lets the last one win in silence; which of the two was meant, nobody knows.
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(key)
        found[key] = value
    return found


def _hint(text: str, error: json.JSONDecodeError) -> str:
    """Say what is wrong, with the two mistakes that people make named as such."""
    rest = text[error.pos :].lstrip()
    if not text.strip():
        return "the file is empty"
    if text[: error.pos].rstrip().endswith(",") and rest[:1] in ("}", "]"):
        return f"a comma before the closing {rest[0]}; remove it"
    if error.msg.startswith("Illegal trailing comma"):  # Python 3.13 and later stop at the comma itself
        return f"a comma before the closing {rest[1:].lstrip()[:1]}; remove it"
    if rest.startswith(("//", "#", "/*")):
        return "JSON has no comments; remove it, or use TOML"
    return f"{error.msg[:1].lower()}{error.msg[1:]}"

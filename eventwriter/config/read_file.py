"""Reading of a configuration file as nested keys: JSON or TOML, with the place of a syntax error."""

import json
import tomllib
from typing import Any

from eventwriter.errors import ConfigError

FILE_BYTES_MAX = 4 * 1024 * 1024
"""Far above the size of any configuration; a larger file is something else."""


def read_file(path: str) -> dict[str, Any]:
    """
    Return the content of a file: TOML if its name ends in `.toml`, otherwise JSON.

    Raises:
        ConfigError: The file cannot be read, or has a syntax error; with line and column.
    """
    text = _read_text(path)
    if not text.strip():
        raise _file_error(path, "the file is empty; see `eventwriter config example`")
    try:
        data = tomllib.loads(text) if path.endswith(".toml") else json.loads(text, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}, column {error.colno}: invalid JSON: {_explain(text, error)}"
        raise _file_error(path, reason) from None
    except _DuplicateKey as error:
        raise _file_error(path, f"the key {error.key!r} occurs twice in one object; remove one") from None
    except tomllib.TOMLDecodeError as error:
        raise _file_error(path, f"invalid TOML: {error}") from None
    except RecursionError:
        raise _file_error(path, "nested too deeply for a configuration") from None
    if not isinstance(data, dict):
        raise _file_error(path, f"the top level is a {type(data).__name__}; write an object with keys")
    if not data and path.endswith(".toml"):  # comments only; in JSON, {} is deliberate
        raise _file_error(path, "the file contains no keys; see `eventwriter config example`")
    return data


def _file_error(path: str, message: str) -> ConfigError:
    # Imported here because it loads pydantic, which takes longer than a whole command of eventwriter-ctl.
    from eventwriter.config.errors import SettingError

    return ConfigError([SettingError(path, "unreadable", message)])


def _read_text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except IsADirectoryError:
        raise _file_error(path, "is a directory; give the path of a JSON or TOML file") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise _file_error(path, f"cannot be read: {reason}; check the path and its permissions") from None
    except ValueError as error:  # a zero byte in the path
        raise _file_error(repr(path), f"cannot be read: {error}; check the path") from None
    if len(raw) > FILE_BYTES_MAX:
        raise _file_error(path, f"is larger than {FILE_BYTES_MAX // 1024**2} MiB, so it is not a configuration")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _file_error(path, f"line {line}: not UTF-8 text; save the file as UTF-8") from None


class _DuplicateKey(Exception):
    """A JSON object contains a key twice."""

    def __init__(self, key: str) -> None:
        self.key = key


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json itself silently keeps the last value; nobody can tell which one was meant.
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _DuplicateKey(key)
        result[key] = value
    return result


def _explain(text: str, error: json.JSONDecodeError) -> str:
    """Return what is wrong; the two most common errors are recognised."""
    rest = text[error.pos :].lstrip()
    if text[: error.pos].rstrip().endswith(",") and rest[:1] in ("}", "]"):
        return f"a comma before the closing {rest[0]}; remove it"
    if error.msg.startswith("Illegal trailing comma"):  # Python 3.13 and later report the comma itself
        return f"a comma before the closing {rest[1:].lstrip()[:1]}; remove it"
    if rest.startswith(("//", "#", "/*")):
        return "JSON has no comments; remove it, or use TOML"
    return f"{error.msg[:1].lower()}{error.msg[1:]}"

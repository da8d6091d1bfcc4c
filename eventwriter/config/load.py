"""
Where values come from: defaults < file < environment < flags.

Every mistake is reported at once, with its key path and what is allowed; values of
keys that hold secrets are never repeated.
"""

import json
import os.path
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from eventwriter.config import cross_checks
from eventwriter.config.environment import SPIFFE_CERT_DIR, FromEnvironment, certificates, read_environment
from eventwriter.config.errors import Path, sentences
from eventwriter.config.file_checks import open_to_all, unreadable
from eventwriter.config.go_format import Translated, is_go, joined, patched, translate, without_tls
from eventwriter.config.settings import NATS_NAME, Settings
from eventwriter.config.stream_entries import EntryDefaults, entries
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


_STREAMS_JSON = "DB_EVENT_WRITER_STREAMS_JSON"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, what is worth a word, and the file that they came from (`defaults` where none)."""

    settings: Settings
    warnings: tuple[str, ...]
    source: str


def load(
    path: str | None, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None, *, look: bool = False
) -> Loaded:
    """
    Load the settings.

    Args:
        path: JSON or TOML (by its ending `.toml`), ours or the Go writer's; None for none.
        environ: The environment.
        overrides: Nested keys that win over everything (flags).
        look: Look whether certificates and secrets' files can be read; not where another user will run the daemon.

    Raises:
        ConfigError: With every mistake.
    """
    mistakes: list[str] = []
    file = read(path) if path else {}
    try:
        built, warnings, names = _build(file, environ, overrides or {}, mistakes, look)
    except ConfigError as error:
        raise ConfigError(error.mistakes, path) from None
    warnings += open_to_all(built, path, names) if look else []
    return Loaded(built, tuple(warnings), path or "defaults")


def _build(
    file: dict[str, Any], environ: Mapping[str, str], overrides: Mapping[str, Any], mistakes: list[str], look: bool
) -> tuple[Settings, list[str], dict[Path, str]]:
    own = _own(file, environ, mistakes)
    above = read_environment(environ, mistakes)
    if is_go(file):
        # Read with the rest of that block, which says what they are relative to.
        for key in ("sslrootcert", "sslcert", "sslkey"):
            above.values.get("postgres", {}).pop(key, None)
    data = merged(merged(own.data, above.values), overrides)
    if is_go(file) and isinstance(data.get("postgres"), dict):
        data["postgres"] = without_tls(data["postgres"])
    _certificates(data, above)
    stream_name = data.get("stream_name")
    if not isinstance(stream_name, str) or not re.match(NATS_NAME, stream_name):
        # A wrong one is named once, not for every entry.
        stream_name = str(Settings.model_fields["stream_name"].default)
    defaults = EntryDefaults(stream_name, above.streams, own.entry_names)
    streams = entries(data.pop("streams", None), defaults, mistakes)
    names = {**own.names, **above.names}
    built = _validated({**data, "streams": tuple(streams)}, names, mistakes)
    mistakes += cross_checks.mistakes(built, names)
    mistakes += unreadable(built, names) if look else []
    if mistakes:
        raise ConfigError(mistakes)
    source = environ.get("CONFIG_SOURCE", "file")
    from_kv = [] if source == "file" else [f"CONFIG_SOURCE: {source!r} is not supported; only a file is read"]
    return built, [*own.warnings, *above.warnings, *from_kv, *cross_checks.warnings(built)], names


def _validated(data: dict[str, Any], names: Mapping[Path, str], mistakes: list[str]) -> Settings:
    """Return the settings; wrong ones are named, and set to their defaults so that the others are looked at."""
    try:
        return Settings.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        mistakes[:0] = sentences(error, Settings, (), names)
        for wrong in error.errors():
            data = without(data, wrong["loc"])
    return Settings.model_validate(data, by_alias=True, by_name=False)


def without(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return nested keys without one; where the path goes on into a list, without that list."""
    key, rest = str(path[0]), path[1:]
    inner = data.get(key)
    if rest and isinstance(inner, dict):
        return {**data, key: without(inner, rest)}
    return {other: value for other, value in data.items() if other != key}


def _own(file: dict[str, Any], environ: Mapping[str, str], mistakes: list[str]) -> Translated:
    """Return the file's content under our own keys."""
    text = environ.get(_STREAMS_JSON, "").strip()
    given = _streams_json(text, mistakes) if text else None
    if is_go(file):
        return translate(patched({**file, **({"streams": given} if given else {})}, environ), mistakes)
    own = Translated(dict(file))
    if given:
        own.data["streams"] = joined(given, own.entry_names, mistakes)
        own.entry_names = [name.replace("streams", _STREAMS_JSON, 1) for name in own.entry_names]
    return own


def _streams_json(text: str, mistakes: list[str]) -> list[Any] | None:
    try:
        given = json.loads(text)
    except ValueError as error:
        mistakes.append(f"{_STREAMS_JSON}: no JSON: {error}")
        return None
    if not isinstance(given, list) or not given:
        mistakes.append(f"{_STREAMS_JSON}: a list of objects with subject and table is wanted")
        return None
    return given


def _certificates(data: dict[str, Any], above: FromEnvironment) -> None:
    """Where the environment wants TLS and nobody says with what: the predecessor's folder, if it is there."""
    nats = data.get("nats")
    asked = above.values.get("nats", {}).get("tls") == {}
    if asked and isinstance(nats, dict) and nats.get("tls") == {} and os.path.isdir(SPIFFE_CERT_DIR):
        nats["tls"] = certificates(SPIFFE_CERT_DIR)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested keys of both; those of `above` win."""
    both = dict(below)
    for key, value in above.items():
        inner = both.get(key)
        both[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return both

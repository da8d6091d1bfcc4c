"""
Where values come from: defaults < file < environment < flags.

Every mistake is reported at once, with its key path and what is allowed; values of
keys that hold secrets are never repeated.
"""

import json
import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from eventwriter.config import relations
from eventwriter.config.environment import SPIFFE_CERT_DIR, FromEnvironment, certificates, read_environment
from eventwriter.config.files import open_to_all, unreadable
from eventwriter.config.go_format import Translated, is_go, joined, patched, translate, without_tls
from eventwriter.config.mistakes import Path, sentences
from eventwriter.config.read import read
from eventwriter.config.settings import NATS_NAME, Settings
from eventwriter.config.streams import EntryDefaults, entries
from eventwriter.errors import ConfigError

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
    mistakes += relations.mistakes(built, names)
    mistakes += unreadable(built, names) if look else []
    if mistakes:
        raise ConfigError(mistakes)
    source = environ.get("CONFIG_SOURCE", "file")
    from_kv = [] if source == "file" else [f"CONFIG_SOURCE: {source!r} is not supported; only a file is read"]
    return built, [*own.warnings, *above.warnings, *from_kv, *relations.warnings(built)], names


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

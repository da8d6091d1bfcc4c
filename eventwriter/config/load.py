"""
Where values come from: defaults < file < environment < flags.

Every mistake is reported at once, with its key path and what is allowed; values of
keys that hold secrets are never repeated.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from eventwriter.config.go_format import is_go, translate
from eventwriter.config.settings import (
    DEFAULT_STREAMS,
    DEFAULT_SUBJECTS,
    KIND_OF_TABLE,
    ControlSettings,
    LogSettings,
    NatsSettings,
    NatsTls,
    PostgresSettings,
    Settings,
    StreamSettings,
    SupervisorSettings,
)
from eventwriter.errors import ConfigError

_OPTION_KEYS = ("keep_raw", "map", "rest")
_SECRET_WORDS = ("password", "token", "dsn", "secret", "servers")
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off", "")

_ENVIRONMENT: Mapping[str, tuple[str, ...]] = {
    "EVENT_WRITER_NATS_URL": ("nats", "servers"),
    "EVENT_WRITER_NATS_USER": ("nats", "user"),
    "EVENT_WRITER_NATS_PASSWORD": ("nats", "password"),
    "EVENT_WRITER_NATS_PASSWORD_FILE": ("nats", "password_file"),
    "EVENT_WRITER_NATS_TOKEN_FILE": ("nats", "token_file"),
    "EVENT_WRITER_NATS_CREDS_FILE": ("nats", "creds_file"),
    "EVENT_WRITER_CONSUMER_NAME": ("consumer_name",),
    "EVENT_WRITER_NATS_STREAM": ("stream_name",),
    "EVENT_WRITER_CONTROL_SOCKET": ("control", "socket"),
    "EVENT_WRITER_LOG_LEVEL": ("log", "level"),
    "EVENT_WRITER_LOG_FORMAT": ("log", "format"),
    "EVENT_WRITER_POSTGRES_DSN": ("postgres", "dsn"),
    "CNPG_HOST": ("postgres", "host"),
    "CNPG_PORT": ("postgres", "port"),
    "CNPG_DATABASE": ("postgres", "database"),
    "CNPG_USERNAME": ("postgres", "user"),
    "CNPG_PASSWORD": ("postgres", "password"),
    "CNPG_PASSWORD_FILE": ("postgres", "password_file"),
    "CNPG_SSL_MODE": ("postgres", "sslmode"),
    "CNPG_CA_FILE": ("postgres", "sslrootcert"),
    "CNPG_CERT_FILE": ("postgres", "sslcert"),
    "CNPG_KEY_FILE": ("postgres", "sslkey"),
}
"""Environment variable → key path. The predecessors' names are kept."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, what is worth a word, and the file that they came from (`defaults` where none)."""

    settings: Settings
    warnings: tuple[str, ...]
    source: str


def load(path: str | None, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Loaded:
    """
    Load the settings.

    Args:
        path: JSON or TOML (by its ending `.toml`), ours or the Go writer's; None for none.
        overrides: Nested keys that win over everything (flags).

    Raises:
        ConfigError: With every mistake.
    """
    mistakes: list[str] = []
    data = _read(path) if path else {}
    warnings: list[str] = []
    if is_go(data):
        data, warnings = translate(data, mistakes)
    data = _merge(data, _from_environment(environ, mistakes))
    data = _merge(data, dict(overrides or {}))
    streams = _entries(data.pop("streams", None), data, environ, mistakes)
    built = _build(data, streams, mistakes)
    if mistakes or built is None:
        raise ConfigError(mistakes)
    return Loaded(built, tuple(warnings), path or "defaults")


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; check the path and its permissions"]) from error
    try:
        data = tomllib.loads(raw.decode()) if path.endswith(".toml") else orjson.loads(raw)
    except (ValueError, tomllib.TOMLDecodeError) as error:
        language = "TOML" if path.endswith(".toml") else "JSON"
        raise ConfigError([f"{path}: is no {language}: {error}"]) from error
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: holds a {type(data).__name__}; an object with keys is wanted"])
    return data


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return merged


def _from_environment(environ: Mapping[str, str], mistakes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, path in _ENVIRONMENT.items():
        if name not in environ or environ[name] == "":
            continue
        value: Any = environ[name]
        if path == ("nats", "servers"):
            value = [server.strip() for server in value.split(",")]
        inner = found
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
    if "EVENT_WRITER_ENABLED" in environ:
        text = environ["EVENT_WRITER_ENABLED"].strip().lower()
        if text not in _TRUE + _FALSE:
            mistakes.append(f"EVENT_WRITER_ENABLED: {text!r}; allowed are true, 1, yes, false, 0, no")
        found["enabled"] = text in _TRUE
    return found


def _entries(given: Any, data: dict[str, Any], environ: Mapping[str, str], mistakes: list[str]) -> list[StreamSettings]:
    if given is None:
        given = list(DEFAULT_STREAMS)
    if not isinstance(given, list) or not given:
        mistakes.append('streams: a list of names or entries is wanted, like ["TELEMETRY", "NETFLOW"]')
        return []
    shared = {
        key: environ[name]
        for name, key in (("EVENT_WRITER_BATCH_SIZE", "batch_size"), ("EVENT_WRITER_BATCH_TIMEOUT", "batch_timeout"))
        if environ.get(name)
    }
    built = [
        _entry(entry, at, shared, str(data.get("stream_name", "events")), mistakes) for at, entry in enumerate(given)
    ]
    streams = [stream for stream in built if stream is not None]
    # Each of them would be given every message: refused until subjects are shared out.
    mistakes += [
        f"streams: {s.name}: partitions {s.partitions}; only 1 is in this version" for s in streams if s.partitions > 1
    ]
    return streams


def _entry(entry: Any, at: int, shared: dict[str, str], stream_name: str, mistakes: list[str]) -> StreamSettings | None:
    path = f"streams[{at}]"
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict):
        mistakes.append(f"{path}: {entry!r}; a name or an entry with keys is wanted")
        return None
    fields = {**shared, **entry}
    name = str(fields.get("name", ""))
    if "subject" in fields:
        fields["subjects"] = [fields.pop("subject")]
    elif isinstance(fields.get("subjects"), str):
        fields["subjects"] = [fields["subjects"]]
    fields.setdefault("subjects", list(DEFAULT_SUBJECTS.get(name.upper(), ())))
    if "table" in fields:
        fields["tables"] = [fields.pop("table")]
    fields.setdefault("stream_name", stream_name)
    fields["options"] = {key: fields.pop(key) for key in _OPTION_KEYS if key in fields}
    if "kind" not in fields:
        tables = fields.get("tables") or [""]
        guess = KIND_OF_TABLE.get(str(tables[0]).rpartition(".")[2]) if isinstance(tables, list) else None
        fields["kind"] = guess or (name.lower() if name.upper() in DEFAULT_SUBJECTS else "json")
    try:
        return StreamSettings.model_validate(fields)
    except ValidationError as error:
        mistakes += _sentences(error, path, StreamSettings)
        return None


def _build(data: dict[str, Any], streams: list[StreamSettings], mistakes: list[str]) -> Settings | None:
    try:
        return Settings.model_validate({**data, "streams": tuple(streams)})
    except ValidationError as error:
        mistakes += _sentences(error, "", Settings)
        return None


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "nats": NatsSettings,
    "tls": NatsTls,
    "postgres": PostgresSettings,
    "supervisor": SupervisorSettings,
    "control": ControlSettings,
    "log": LogSettings,
}


def _sentences(error: ValidationError, prefix: str, model: type[BaseModel]) -> list[str]:
    """Return one sentence for each thing that pydantic found wrong."""
    sentences = []
    for wrong in error.errors():
        path = ".".join(part for part in (prefix, *(str(p) for p in wrong["loc"])) if part)
        message = wrong["msg"].removeprefix("Value error, ")
        if wrong["type"] == "extra_forbidden":
            section = _SECTIONS.get(str(wrong["loc"][-2]), model) if len(wrong["loc"]) > 1 else model
            known = [field.alias or name for name, field in section.model_fields.items()]
            near = difflib.get_close_matches(str(wrong["loc"][-1]), known, 1)
            sentences.append(f"{path}: not a known key" + (f"; did you mean {near[0]}?" if near else ""))
        elif any(word in path.lower() for word in _SECRET_WORDS) or not wrong["loc"]:
            sentences.append(f"{path}: {message}" if path else message)
        else:
            sentences.append(f"{path}: {_shown(wrong['input'])}; {message}")
    return sentences


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

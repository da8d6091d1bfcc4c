"""
Loading of the configuration: defaults, overridden by the file, the environment and flags, in this order.

All errors are reported at once, each with its key and what is allowed. Values of keys that may hold
secrets are never quoted.
"""

import json
import os.path
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from eventwriter.config import cross_checks
from eventwriter.config.environment import SPIFFE_CERT_DIR, Environment, certificates, read_environment
from eventwriter.config.errors import Path, SettingError, setting_errors
from eventwriter.config.file_checks import exposed_secrets, unreadable_files
from eventwriter.config.go_format import (
    Translated,
    apply_environment,
    combine_by_table,
    is_go,
    translate,
    without_tls,
)
from eventwriter.config.read_file import read_file as read_file
from eventwriter.config.settings import NATS_NAME, Settings
from eventwriter.config.stream_entries import EntryDefaults, build_entries
from eventwriter.errors import ConfigError

_STREAMS_JSON = "DB_EVENT_WRITER_STREAMS_JSON"
_LIBPQ_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE")

RunChecks = Callable[[Settings], list[SettingError]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Valid settings, warnings about them, and the file that they came from (`defaults` for none)."""

    settings: Settings
    warnings: tuple[str, ...]
    source: str


def load(
    path: str | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    *,
    run_checks: RunChecks | None = None,
) -> Loaded:
    """
    Load the settings.

    Args:
        path: A JSON or TOML file in our format or the Go writer's; None for no file.
        environ: The environment.
        overrides: Nested keys that override everything else (flags).
        run_checks: Checks of what only a running daemon needs, in addition to those of this package:
            files that settings name, and section `postgres`. None to check none of this, for
            example because another user will run the daemon.

    Raises:
        ConfigError: The configuration is invalid; with all errors, each one once.
    """
    file = read_file(path) if path else {}
    errors: list[SettingError] = []
    settings, warnings, names = _build(file, environ, overrides or {}, errors)
    if run_checks is not None:
        if _is_postgres_missing(settings, environ):
            error = SettingError("postgres", "missing", "this section is required; set host, database and user, or dsn")
            (errors if settings.enabled else warnings).append(error)
        errors += unreadable_files(settings, names)
        errors += run_checks(settings)
        warnings += exposed_secrets(settings, path, names)
    if errors:
        raise ConfigError(list(dict.fromkeys(errors)), path, warnings)
    return Loaded(settings, tuple(warnings), path or "defaults")


def _is_postgres_missing(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Return whether nothing says where PostgreSQL is; libpq also reads its own variables."""
    return not (settings.postgres.model_fields_set or any(environ.get(name) for name in _LIBPQ_VARIABLES))


def _build(
    file: dict[str, Any], environ: Mapping[str, str], overrides: Mapping[str, Any], errors: list[SettingError]
) -> tuple[Settings, list[str], dict[Path, str]]:
    """Return the settings, as far as they are valid, warnings, and the names of key paths written differently."""
    own = _translate(file, environ, errors)
    environment = read_environment(environ, errors)
    data = _merge_sources(file, own, environment, overrides)
    defaults = EntryDefaults(_stream_name(data), environment.streams, environment.stream_names, own.entry_names)
    streams = build_entries(data.pop("streams", None), defaults, errors)
    names = {**own.names, **environment.names}
    if not file or is_go(file):
        data.setdefault("enabled", False)  # as the earlier writers, whose forms these are
    settings = _validate({**data, "streams": tuple(streams)}, names, errors)
    errors += cross_checks.errors(settings, names)
    source = environ.get("CONFIG_SOURCE", "file")
    unsupported = [] if source == "file" else [f"CONFIG_SOURCE: {source!r} is not supported; only files are read"]
    warnings = [*own.warnings, *environment.warnings, *unsupported, *cross_checks.warnings(settings)]
    return settings, warnings, names


def _merge_sources(
    file: Mapping[str, Any], own: Translated, environment: Environment, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    if is_go(file):
        # Already applied to block `cnpg`, whose cert_dir these paths are relative to.
        for key in ("sslrootcert", "sslcert", "sslkey"):
            environment.values.get("postgres", {}).pop(key, None)
    data = merge(merge(own.data, environment.values), overrides)
    if is_go(file) and isinstance(data.get("postgres"), dict):
        data["postgres"] = without_tls(data["postgres"])
    _add_certificates(data, environment)
    return data


def _stream_name(data: Mapping[str, Any]) -> str:
    """Return the default of the entries' `stream_name`; an invalid one is reported once, not for every entry."""
    stream_name = data.get("stream_name")
    if isinstance(stream_name, str) and re.match(NATS_NAME, stream_name):
        return stream_name
    return str(Settings.model_fields["stream_name"].default)


def _validate(data: dict[str, Any], names: Mapping[Path, str], errors: list[SettingError]) -> Settings:
    """Return the settings; invalid values are reported and replaced by their defaults, so that checks can go on."""
    try:
        return Settings.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        errors[:0] = setting_errors(error, Settings, (), names)
        for details in error.errors():
            data = without(data, details["loc"])
    return Settings.model_validate(data, by_alias=True, by_name=False)


def without(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return nested keys without one of them; a path into a list removes the whole list."""
    key, rest = str(path[0]), path[1:]
    inner = data.get(key)
    if rest and isinstance(inner, dict):
        return {**data, key: without(inner, rest)}
    return {other: value for other, value in data.items() if other != key}


def _translate(file: dict[str, Any], environ: Mapping[str, str], errors: list[SettingError]) -> Translated:
    """Return the file's content under our own keys."""
    text = environ.get(_STREAMS_JSON, "").strip()
    streams = _parse_streams_json(text, errors) if text else None
    if is_go(file):
        return translate(apply_environment({**file, **({"streams": streams} if streams else {})}, environ), errors)
    own = Translated(dict(file))
    if streams:
        own.data["streams"] = combine_by_table(streams, own.entry_names, errors)
        own.entry_names = [name.replace("streams", _STREAMS_JSON, 1) for name in own.entry_names]
    return own


def _parse_streams_json(text: str, errors: list[SettingError]) -> list[Any] | None:
    try:
        streams = json.loads(text)
    except ValueError as error:
        errors.append(SettingError(_STREAMS_JSON, "invalid", f"invalid JSON: {error}"))
        return None
    if not isinstance(streams, list) or not streams:
        message = "the value is not a list of objects with subject and table"
        errors.append(SettingError(_STREAMS_JSON, "wrong_type", message))
        return None
    return streams


def _add_certificates(data: dict[str, Any], environment: Environment) -> None:
    """Use the earlier writers' directory of certificates, if it exists, when only a variable enables TLS."""
    nats = data.get("nats")
    enabled = environment.values.get("nats", {}).get("tls") == {}
    if enabled and isinstance(nats, dict) and nats.get("tls") == {} and os.path.isdir(SPIFFE_CERT_DIR):
        nats["tls"] = certificates(SPIFFE_CERT_DIR)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested keys of both mappings; those of `above` take precedence."""
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = merge(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return result

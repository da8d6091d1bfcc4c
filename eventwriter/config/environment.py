"""
Environment variables: one literal table, most of them with the earlier writers' names. Pure.

An empty variable counts as not set.
"""

import os.path
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventwriter.config.durations import parse_duration
from eventwriter.config.errors import Path, SettingError, display, suggest

TRUE = ("true", "1", "yes", "on")
FALSE = ("false", "0", "no", "off")

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "EVENT_WRITER_CONSUMER_NAME": ("consumer_name",),
    "EVENT_WRITER_NATS_STREAM": ("stream_name",),
    "EVENT_WRITER_NATS_URL": ("nats", "servers"),
    "EVENT_WRITER_NATS_USER": ("nats", "user"),
    "EVENT_WRITER_NATS_PASSWORD": ("nats", "password"),
    "EVENT_WRITER_NATS_PASSWORD_FILE": ("nats", "password_file"),
    "EVENT_WRITER_NATS_TOKEN": ("nats", "token"),
    "EVENT_WRITER_NATS_TOKEN_FILE": ("nats", "token_file"),
    "EVENT_WRITER_NATS_CREDS_FILE": ("nats", "creds_file"),
    "EVENT_WRITER_NATS_NKEY_SEED_FILE": ("nats", "nkey_seed_file"),
    "EVENT_WRITER_CONTROL_SOCKET": ("control", "socket"),
    "EVENT_WRITER_CONTROL_GROUP": ("control", "group"),
    "EVENT_WRITER_HTTP_LISTEN": ("http", "listen"),
    "EVENT_WRITER_HTTP_TOKEN_FILE": ("http", "token_file"),
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
"""Variable → key path."""

GO_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "DB_EVENT_WRITER_NATS_URL": ("nats", "servers"),
    "DB_EVENT_WRITER_NATS_CREDS_FILE": ("nats", "creds_file"),
    "DB_EVENT_WRITER_STREAM_NAME": ("stream_name",),
    "DB_EVENT_WRITER_CONSUMER_NAME": ("consumer_name",),
}
"""Variables that the start script of the Go writer's container wrote into its file; `VARIABLES` override them."""

OTHERS: Mapping[str, str] = {
    "EVENT_WRITER_ENABLED": "`enabled`: true, 1, yes, on, or false, 0, no, off",
    "EVENT_WRITER_BATCH_SIZE": "`batch_size` of every stream entry",
    "EVENT_WRITER_BATCH_TIMEOUT": "`batch_timeout` of every stream entry; a plain number counts milliseconds",
    "EVENT_WRITER_NATS_TLS": "true: TLS, with the certificates in SPIFFE_CERT_DIR; false: no TLS, overriding the file",
    "SPIFFE_CERT_DIR": "directory with root.pem, core.pem and core-key.pem, for EVENT_WRITER_NATS_TLS",
    "CNPG_CERT_DIR": "directory of relative paths in CNPG_CA_FILE, CNPG_CERT_FILE and CNPG_KEY_FILE",
    "DB_EVENT_WRITER_STREAMS_JSON": "`streams` of the Go writer's file, as JSON",
    "DB_EVENT_WRITER_DISABLE_NATS_SECURITY": "true: no TLS to NATS, overriding the file",
    "EVENT_WRITER_CONFIG": "path of the configuration file",
    "CONFIG_PATH": "the same, under the Go writer's name",
}
"""Variables that do more than set one key."""

UNUSED = (
    "DB_EVENT_WRITER_LISTEN_ADDR",
    "DB_EVENT_WRITER_AGENT_ID",
    "DB_EVENT_WRITER_GATEWAY_ID",
    "DB_EVENT_WRITER_DISABLE_SECURITY",
    "DB_EVENT_WRITER_OTEL_ENABLED",
    "DB_EVENT_WRITER_CNPG_MAX_CONNECTIONS",
    "DB_EVENT_WRITER_CNPG_MIN_CONNECTIONS",
)
"""Other variables of that start script; they concern a gRPC server and a connection pool that eventwriter lacks."""

SPIFFE_CERT_DIR = "/etc/serviceradar/certs"
"""Directory in which the earlier writers looked for certificates by default."""
SPIFFE_SERVER_NAME = "nats.serviceradar"
"""Name in the certificate that this authority issued for NATS."""

_PREFIXES = ("EVENT_WRITER_", "DB_EVENT_WRITER_", "CNPG_")
_TLS_FILES = ("CNPG_CA_FILE", "CNPG_CERT_FILE", "CNPG_KEY_FILE")


@dataclass(slots=True)
class Environment:
    """Settings from the environment: values that override the file's, and keys for every stream entry."""

    values: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, Any] = field(default_factory=dict)
    """Keys that override those of every stream entry."""
    stream_names: dict[str, str] = field(default_factory=dict)
    """Key in `streams` → variable, for error messages."""
    names: dict[Path, str] = field(default_factory=dict)
    """Key path → variable, for error messages."""
    warnings: list[str] = field(default_factory=list)

    def put(self, path: tuple[str, ...], value: Any, variable: str) -> None:
        """Set one value."""
        inner = self.values
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
        self.names[path] = variable


def read_environment(environ: Mapping[str, str], errors: list[SettingError]) -> Environment:
    """
    Return the settings that variables make.

    Args:
        environ: The environment.
        errors: Receives the errors found.
    """
    result = Environment()
    present = {name: text.strip() for name, text in environ.items() if text.strip()}
    for name, path in [*GO_VARIABLES.items(), *VARIABLES.items()]:
        if name in present:
            folder = present.get("CNPG_CERT_DIR") if name in _TLS_FILES else None
            result.put(path, os.path.join(folder, present[name]) if folder else present[name], name)
    if (enabled := flag(present, "EVENT_WRITER_ENABLED", errors)) is not None:
        result.put(("enabled",), enabled, "EVENT_WRITER_ENABLED")
    _read_tls(present, result, errors)
    for name, (key, convert) in _STREAM_KEYS.items():
        if name in present:
            try:
                result.streams[key] = convert(present[name])
                result.stream_names[key] = name
            except ValueError as error:
                errors.append(SettingError(name, "invalid", f"{display(present[name])} is {error}"))
    result.warnings += [f"{name}: set for the Go writer; eventwriter ignores it" for name in UNUSED if name in present]
    result.warnings += _unknown_variables(present)
    return result


def flag(present: Mapping[str, str], name: str, errors: list[SettingError]) -> bool | None:
    """Return a variable that is true or false, None if it is not set."""
    if name not in present:
        return None
    text = present[name].lower()
    if text not in TRUE + FALSE:
        message = f"{display(present[name])} is not allowed; allowed values are {', '.join(TRUE + FALSE)}"
        errors.append(SettingError(name, "not_allowed", message))
    return text in TRUE


def _read_tls(present: Mapping[str, str], result: Environment, errors: list[SettingError]) -> None:
    """Enable or disable TLS to NATS; without such a variable, the file decides."""
    enable, disable = "EVENT_WRITER_NATS_TLS", "DB_EVENT_WRITER_DISABLE_NATS_SECURITY"
    enabled = flag(present, enable, errors)
    if enabled is None and flag(present, disable, errors):
        result.put(("nats", "tls"), None, disable)
    elif enabled is False:
        result.put(("nats", "tls"), None, enable)
    elif enabled:
        folder = present.get("SPIFFE_CERT_DIR")
        result.put(("nats", "tls"), certificates(folder) if folder else {}, "SPIFFE_CERT_DIR" if folder else enable)


def certificates(folder: str) -> dict[str, str]:
    """Return the TLS settings for a directory with the earlier writers' file names."""
    return {
        "ca_file": os.path.join(folder, "root.pem"),
        "cert_file": os.path.join(folder, "core.pem"),
        "key_file": os.path.join(folder, "core-key.pem"),
        "server_name": SPIFFE_SERVER_NAME,
    }


def _positive_count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ValueError("not a whole number") from None
    if number < 1:
        raise ValueError("too small; the minimum is 1")
    return number


def _positive_duration(text: str) -> str:
    if parse_duration(text, 1e-3) <= 0:
        raise ValueError("too small; it must be greater than 0s")
    return text


_STREAM_KEYS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "EVENT_WRITER_BATCH_SIZE": ("batch_size", _positive_count),
    "EVENT_WRITER_BATCH_TIMEOUT": ("batch_timeout", _positive_duration),
}


def _unknown_variables(present: Mapping[str, str]) -> list[str]:
    """Return a warning for each unknown variable with our prefixes; no error, as others share the environment."""
    known = [*VARIABLES, *GO_VARIABLES, *OTHERS, *UNUSED]
    unknown = [name for name in present if name.startswith(_PREFIXES) and name not in known]
    return [f"{name}: unknown variable{suggest(name, known)}" for name in unknown]

"""
What the environment sets: one literal table of variables, the predecessors' names first. Pure.

A variable that is empty counts as not set, as in the predecessors.
"""

import os.path
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventwriter.config.durations import seconds
from eventwriter.config.errors import Path, near

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
"""What the Go writer's container start script patched into its file; the variables above win."""

OTHERS: Mapping[str, str] = {
    "EVENT_WRITER_ENABLED": "`enabled`: true, 1, yes, on, or false, 0, no, off",
    "EVENT_WRITER_BATCH_SIZE": "`batch_size` of every stream",
    "EVENT_WRITER_BATCH_TIMEOUT": "`batch_timeout` of every stream; a plain number counts milliseconds",
    "EVENT_WRITER_NATS_TLS": "true: TLS, with the certificates of SPIFFE_CERT_DIR; false: none, whatever the file says",
    "SPIFFE_CERT_DIR": "folder with root.pem, core.pem and core-key.pem, for EVENT_WRITER_NATS_TLS",
    "CNPG_CERT_DIR": "folder that relative CNPG_CA_FILE, CNPG_CERT_FILE and CNPG_KEY_FILE are in",
    "DB_EVENT_WRITER_STREAMS_JSON": "`streams` of the Go writer's file, as JSON",
    "DB_EVENT_WRITER_DISABLE_NATS_SECURITY": "true: no TLS to NATS, whatever the file says",
    "EVENT_WRITER_CONFIG": "path of the configuration file",
    "CONFIG_PATH": "the same, by the Go writer's name",
}
"""Variables that are more than a key's value, and what they do."""

UNUSED = (
    "DB_EVENT_WRITER_LISTEN_ADDR",
    "DB_EVENT_WRITER_AGENT_ID",
    "DB_EVENT_WRITER_GATEWAY_ID",
    "DB_EVENT_WRITER_DISABLE_SECURITY",
    "DB_EVENT_WRITER_OTEL_ENABLED",
    "DB_EVENT_WRITER_CNPG_MAX_CONNECTIONS",
    "DB_EVENT_WRITER_CNPG_MIN_CONNECTIONS",
)
"""The start script's other variables: about a gRPC server and a pool that are not here."""

SPIFFE_CERT_DIR = "/etc/serviceradar/certs"
"""Where the predecessor looked for certificates unless told otherwise."""
SPIFFE_SERVER_NAME = "nats.serviceradar"
"""The name in that authority's certificate for NATS."""

_PREFIXES = ("EVENT_WRITER_", "DB_EVENT_WRITER_", "CNPG_")
_TLS_FILES = ("CNPG_CA_FILE", "CNPG_CERT_FILE", "CNPG_KEY_FILE")


@dataclass(slots=True)
class FromEnvironment:
    """What the environment says: values over the file's, values for every stream, and how to call them."""

    values: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, Any] = field(default_factory=dict)
    """Keys that every stream's entry gets."""
    names: dict[Path, str] = field(default_factory=dict)
    """Key path → variable, for mistakes."""
    warnings: list[str] = field(default_factory=list)

    def put(self, path: tuple[str, ...], value: Any, variable: str) -> None:
        """Set one value."""
        inner = self.values
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
        self.names[path] = variable


def read_environment(environ: Mapping[str, str], mistakes: list[str]) -> FromEnvironment:
    """
    Read the variables.

    Args:
        environ: The environment.
        mistakes: What is wrong is appended, one sentence each.
    """
    found = FromEnvironment()
    given = {name: text.strip() for name, text in environ.items() if text.strip()}
    for name, path in [*GO_VARIABLES.items(), *VARIABLES.items()]:
        if name in given:
            folder = given.get("CNPG_CERT_DIR") if name in _TLS_FILES else None
            found.put(path, os.path.join(folder, given[name]) if folder else given[name], name)
    if (enabled := flag(given, "EVENT_WRITER_ENABLED", mistakes)) is not None:
        found.put(("enabled",), enabled, "EVENT_WRITER_ENABLED")
    _tls(given, found, mistakes)
    for name, (key, convert) in _STREAM_KEYS.items():
        if name in given:
            try:
                found.streams[key] = convert(given[name])
            except ValueError as error:
                mistakes.append(f"{name}: {given[name]!r}; {error}")
    found.warnings += [f"{name}: set for the Go writer, not used here" for name in UNUSED if name in given]
    found.warnings += _unknown(given)
    return found


def flag(given: Mapping[str, str], name: str, mistakes: list[str]) -> bool | None:
    """Read a yes or no; None where it is not set."""
    if name not in given:
        return None
    text = given[name].lower()
    if text not in TRUE + FALSE:
        mistakes.append(f"{name}: {given[name]!r}; allowed are {', '.join(TRUE + FALSE)}")
    return text in TRUE


def _tls(given: Mapping[str, str], found: FromEnvironment, mistakes: list[str]) -> None:
    """Set or remove TLS to NATS; without a word from the environment the file's stays."""
    asked, disabled = "EVENT_WRITER_NATS_TLS", "DB_EVENT_WRITER_DISABLE_NATS_SECURITY"
    wanted = flag(given, asked, mistakes)
    if wanted is None and flag(given, disabled, mistakes):
        found.put(("nats", "tls"), None, disabled)
    elif wanted is False:
        found.put(("nats", "tls"), None, asked)
    elif wanted:
        folder = given.get("SPIFFE_CERT_DIR")
        found.put(("nats", "tls"), certificates(folder) if folder else {}, "SPIFFE_CERT_DIR" if folder else asked)


def certificates(folder: str) -> dict[str, str]:
    """Return TLS settings for a folder that is laid out as the predecessor's."""
    return {
        "ca_file": os.path.join(folder, "root.pem"),
        "cert_file": os.path.join(folder, "core.pem"),
        "key_file": os.path.join(folder, "core-key.pem"),
        "server_name": SPIFFE_SERVER_NAME,
    }


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ValueError("a whole number is wanted, like 100") from None
    if number < 1:
        raise ValueError("at least 1 is wanted")
    return number


def _millis(text: str) -> str:
    if seconds(text, 1e-3) <= 0:
        raise ValueError('a duration above 0 is wanted, like "1s"; a plain number counts milliseconds')
    return text


_STREAM_KEYS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "EVENT_WRITER_BATCH_SIZE": ("batch_size", _whole),
    "EVENT_WRITER_BATCH_TIMEOUT": ("batch_timeout", _millis),
}


def _unknown(given: Mapping[str, str]) -> list[str]:
    """Warn of variables with our prefixes that nobody reads; a mistake they are not, the environment is shared."""
    ours = [*VARIABLES, *GO_VARIABLES, *OTHERS, *UNUSED]
    unknown = [name for name in given if name.startswith(_PREFIXES) and name not in ours]
    return [f"{name}: not a known variable{near(name, ours)}" for name in unknown]

"""
Connection strings in libpq's two forms, read and written without libpq. Pure.

The configuration must not load a driver (the supervisor that reads it forks), and
a URI cannot be extended by keywords, so both forms are taken apart here.
"""

import difflib
import re
from collections.abc import Mapping
from urllib.parse import unquote

KEYWORDS = frozenset(
    [
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "passfile",
        "require_auth",
        "channel_binding",
        "connect_timeout",
        "client_encoding",
        "options",
        "application_name",
        "fallback_application_name",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "replication",
        "gssencmode",
        "sslmode",
        "requiressl",
        "sslnegotiation",
        "sslcompression",
        "sslcert",
        "sslkey",
        "sslkeylogfile",
        "sslpassword",
        "sslcertmode",
        "sslrootcert",
        "sslcrl",
        "sslcrldir",
        "sslsni",
        "requirepeer",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "min_protocol_version",
        "max_protocol_version",
        "krbsrvname",
        "gsslib",
        "gssdelegation",
        "scram_client_key",
        "scram_server_key",
        "service",
        "servicefile",
        "target_session_attrs",
        "load_balance_hosts",
    ]
)
"""What libpq understands. Source: PostgreSQL 18 documentation, "Parameter Key Words"."""

_URI = re.compile(
    r"postgres(?:ql)?://(?:(?P<login>[^@/?]*)@)?(?P<hosts>[^/?@]*)(?:/(?P<dbname>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>\d*))?")
_PAIR = re.compile(
    r"\s*(?P<key>[^\s='\\]+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<bare>(?:[^\s'\\]|\\.)*))(?:\s+|$)", re.DOTALL
)


def parse(dsn: str) -> dict[str, str]:
    """
    Take a connection string apart.

    Args:
        dsn: `postgresql://user@host:port,host2/db?key=value`, or `host=… dbname=…`.

    Returns:
        Keyword → value; several hosts stay one comma list, with their ports in another.

    Raises:
        ValueError: It is neither; the text says why and repeats nothing of it.

    Source:
        PostgreSQL documentation, "Connection Strings".
    """
    parameters = _parse_uri(dsn) if dsn.startswith(("postgres://", "postgresql://")) else _parse_pairs(dsn)
    if "ssl" in parameters and parameters["ssl"] == "true":
        del parameters["ssl"]
        parameters.setdefault("sslmode", "require")
    for unknown in parameters.keys() - KEYWORDS:
        # The word itself may be a piece of a password that was not quoted: only libpq's own word is repeated.
        near = difflib.get_close_matches(unknown, sorted(KEYWORDS), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; quote values with spaces like password='a b'"
        raise ValueError(f"libpq does not know a parameter in it{hint}")
    if any("\0" in value for value in parameters.values()):
        raise ValueError("it holds a NUL character")
    return parameters


def build(parameters: Mapping[str, str]) -> str:
    """Write a connection string of `key='value'` pairs."""
    return " ".join(f"{key}={quoted(value)}" for key, value in parameters.items())


def quoted(value: str) -> str:
    """Quote a value; only quotes and backslashes are special."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def target(parameters: Mapping[str, str]) -> str:
    """Return `host:port/database as user`, for people; no secret is in it."""
    hosts = (parameters.get("host") or parameters.get("hostaddr") or "local socket").split(",")
    ports = (parameters.get("port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = ",".join(
        f"{f'[{host}]' if ':' in host else host}:{port or 5432}" for host, port in zip(hosts, ports, strict=False)
    )
    user = parameters.get("user")
    database = parameters.get("dbname") or user
    return f"{places}/{database or '(default)'} as {user or '(default)'}"


def _parse_uri(dsn: str) -> dict[str, str]:
    match = _URI.fullmatch(dsn)
    if match is None:
        raise ValueError("it is not postgresql://user@host:port/database?key=value; write special characters as %XX")
    parameters: dict[str, str] = {}
    if login := match["login"]:
        user, colon, password = login.partition(":")
        parameters["user"] = unquote(user)
        if colon:
            parameters["password"] = unquote(password)
    places = [_HOST.fullmatch(place) for place in match["hosts"].split(",")]
    if not all(places):
        raise ValueError("a host in it is not host, host:port or [IPv6]:port")
    hosts = [unquote(place["host"].strip("[]")) for place in places if place]
    ports = [place["port"] or "" for place in places if place]
    if any(hosts):
        parameters["host"] = ",".join(hosts)
    if any(ports):
        parameters["port"] = ",".join(ports)
    if match["dbname"]:
        parameters["dbname"] = unquote(match["dbname"])
    for pair in filter(None, (match["query"] or "").split("&")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError("a parameter after the ? has no =")
        parameters[unquote(key)] = unquote(value)
    return {key: value for key, value in parameters.items() if value}


def _parse_pairs(dsn: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    at = 0
    while at < len(dsn.rstrip()):
        match = _PAIR.match(dsn, at)
        if match is None:
            raise ValueError("it is neither a postgresql:// URI nor a row of key=value pairs")
        value = match["quoted"] if match["quoted"] is not None else match["bare"]
        parameters[match["key"]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        at = match.end()
    return {key: value for key, value in parameters.items() if value}

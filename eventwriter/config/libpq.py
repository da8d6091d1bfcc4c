"""
libpq's connection strings: URLs and key=value pairs. Pure.

The supervisor imports no driver, so psycopg cannot parse them here. They are parsed as far as is
needed to check them, to combine them with other parameters, and to display their target.

Source: PostgreSQL documentation, "Connection Strings".
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from eventwriter.config.address import PORT_MAX

_SCHEMES = ("postgresql://", "postgres://")
_PAIR = re.compile(r"\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?)(?=\s|$)", re.DOTALL)
_ERROR = (
    "not a connection string; write a URL like postgresql://user@host:5432/database with special characters"
    " percent-encoded, or pairs like host=… dbname=… with values quoted as '…'"
)
_CONNINFO = re.compile(r"://|\b(host|hostaddr|port|user|password|dbname)\s*=")
_PARAMETERS = {
    "application_name", "channel_binding", "client_encoding", "connect_timeout", "dbname",
    "fallback_application_name", "gssdelegation", "gssencmode", "gsslib", "host", "hostaddr", "keepalives",
    "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "load_balance_hosts",
    "max_protocol_version", "min_protocol_version", "oauth_client_id", "oauth_client_secret", "oauth_issuer",
    "oauth_scope", "options", "passfile", "password", "port", "replication", "require_auth", "requirepeer",
    "requiressl", "scram_client_key", "scram_server_key", "service", "servicefile", "ssl",
    "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert", "sslcertmode", "sslcompression",
    "sslcrl", "sslcrldir", "sslkey", "sslkeylogfile", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert",
    "sslsni", "target_session_attrs", "tcp_user_timeout", "user",
}  # fmt: skip
"""libpq's parameters up to PostgreSQL 18. libpq quotes an unknown one in its error, which may be part of a password."""

_PERCENT_ENCODED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")


def is_url(dsn: str) -> bool:
    """Return whether a connection string has the form of a URL."""
    return dsn.startswith(_SCHEMES)


def parse(dsn: str) -> dict[str, str]:
    """
    Return the parameters of a connection string, its secrets included.

    Raises:
        ValueError: The text is neither a URL nor pairs; the message does not quote it.
    """
    parameters = _parse_url(dsn) if is_url(dsn) else _parse_pairs(dsn)
    ports = [port for port in parameters.get("port", "").split(",") if port]
    if not parameters.keys() <= _PARAMETERS or not all(is_port(port) for port in ports):
        raise ValueError(_ERROR)
    if is_conninfo(parameters.get("dbname", "")) or is_conninfo(parameters.get("host", "")):
        raise ValueError(_ERROR)
    return parameters


def is_port(text: str) -> bool:
    """Return whether a text is the number of a TCP port."""
    return text.isascii() and text.isdigit() and 1 <= int(text) <= PORT_MAX


def is_conninfo(text: str) -> bool:
    """Return whether a text looks like a connection string, although it should be a single name."""
    return _CONNINFO.search(text) is not None


def _parse_pairs(dsn: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    position, end = 0, len(dsn.rstrip())
    while position < end:
        pair = _PAIR.match(dsn, position)
        if pair is None:
            raise ValueError(_ERROR)
        parameters[pair[1]] = re.sub(r"\\(.)", r"\1", pair[2] or pair[3] or "", flags=re.DOTALL)
        position = pair.end()
    return parameters


_HOST = re.compile(r"([\w.%~-]*|\[[0-9A-Fa-f:.]+(?:%\w+)?\])(?::(\d*))?")
"""Host and port within a URL; libpq also accepts a percent-encoded directory."""


def _split_url(dsn: str) -> tuple[str, str, str, str]:
    """Return login, hosts, database and query; like libpq, end the login at the first @ before the first slash."""
    rest = dsn.partition("://")[2]
    login, at, remainder = rest.partition("@")
    if not at or "/" in login:
        login, remainder = "", rest
    location, _, query = remainder.partition("?")
    hosts, _, database = location.partition("/")
    return login, hosts, database, query


def _parse_url(dsn: str) -> dict[str, str]:
    login, hosts, database, query = _split_url(dsn)
    # A password with an unencoded @ or slash would become a part of the host or the database.
    if "@" in hosts + database or "/" in database or not _PERCENT_ENCODED.fullmatch(dsn):
        raise ValueError(_ERROR)
    user, _, password = login.partition(":")
    pairs = [_HOST.fullmatch(host.strip()) for host in hosts.split(",")]
    if None in pairs:
        raise ValueError(_ERROR)
    parameters = {
        "user": user,
        "password": password,
        "host": ",".join(pair[1].strip("[]") for pair in pairs if pair),
        "port": ",".join(pair[2] or "" for pair in pairs if pair),
        "dbname": database,
    }
    for parameter in filter(None, query.split("&")):
        name, equals, value = parameter.partition("=")
        if not equals:
            raise ValueError(_ERROR)
        # libpq accepts this form of JDBC.
        parameters |= {"sslmode": "require"} if (name, value) == ("ssl", "true") else {name: value}
    return {name: unquote(value) for name, value in parameters.items() if value.strip(",")}


def combine(below: Mapping[str, str], dsn: str, above: Mapping[str, str]) -> str:
    """
    Return one connection string from a DSN and two sets of parameters.

    libpq uses the last value of a parameter.

    Args:
        below: Parameters that the DSN overrides.
        dsn: A connection string.
        above: Parameters that override the DSN.
    """
    if is_url(dsn):
        query = _split_url(dsn)[3]
        base = dsn[: len(dsn) - len(query)].removesuffix("?")
        return f"{base}?{'&'.join(filter(None, (_format_query(below), query, _format_query(above))))}".removesuffix("?")
    return " ".join(filter(None, (_format_pairs(below), dsn.strip(), _format_pairs(above))))


def _format_query(parameters: Mapping[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())


def _format_pairs(parameters: Mapping[str, str]) -> str:
    escaped = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in parameters.items()}
    return " ".join(f"{name}='{value}'" for name, value in escaped.items())


def target(parameters: Mapping[str, str]) -> str:
    """Return hosts, ports, database and user as text for people; other parameters are left out."""
    hosts = (parameters.get("host") or parameters.get("hostaddr") or "localhost").split(",")
    ports = (parameters.get("port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = ",".join(f"{host or 'localhost'}:{port or '5432'}" for host, port in zip(hosts, ports, strict=False))
    user = f" as {parameters['user']}" if parameters.get("user") else ""
    return f"{places}/{parameters.get('dbname', '')}{user}"

"""
libpq's connection strings: URLs and key=value pairs; pure.

Read only as far as is needed to put parameters below and above a given one, and to
say where it leads without repeating its secrets.

Source: PostgreSQL documentation, "Connection Strings".
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

_SCHEMES = ("postgresql://", "postgres://")
_PAIR = re.compile(r"\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?)(?=\s|$)", re.DOTALL)
_SHAPE = "wanted is a URL like postgresql://user@host:5432/database, or pairs like host=… dbname=…, quoted with '…'"


def is_url(dsn: str) -> bool:
    """Say whether that is a URL."""
    return dsn.startswith(_SCHEMES)


def read(dsn: str) -> dict[str, str]:
    """
    Return a connection string's parameters, secrets and all.

    Raises:
        ValueError: It is neither a URL nor pairs; the words repeat nothing of it.
    """
    return _read_url(dsn) if is_url(dsn) else _read_pairs(dsn)


def _read_pairs(dsn: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at, end = 0, len(dsn.rstrip())
    while at < end:
        pair = _PAIR.match(dsn, at)
        if pair is None:
            raise ValueError(_SHAPE)
        found[pair[1]] = re.sub(r"\\(.)", r"\1", pair[2] or pair[3] or "", flags=re.DOTALL)
        at = pair.end()
    return found


def _split_url(dsn: str) -> tuple[str, str, str, str]:
    """Return user and password, hosts, database, query; as libpq does, which takes the first @ before the first /."""
    rest = dsn.partition("://")[2]
    login, at, behind = rest.partition("@")
    if not at or "/" in login:
        login, behind = "", rest
    whole, _, query = behind.partition("?")
    hosts, _, database = whole.partition("/")
    return login, hosts, database, query


def _read_url(dsn: str) -> dict[str, str]:
    login, hosts, database, query = _split_url(dsn)
    user, _, password = login.partition(":")
    pairs = [re.fullmatch(r"(.*?)(?::(\d*))?", host.strip()) for host in hosts.split(",")]
    found = {
        "user": user,
        "password": password,
        "host": ",".join(pair[1].strip("[]") for pair in pairs if pair),
        "port": ",".join(pair[2] or "" for pair in pairs if pair),
        "dbname": database,
    }
    for parameter in filter(None, query.split("&")):
        key, equals, value = parameter.partition("=")
        if not equals:
            raise ValueError(_SHAPE)
        # JDBC's way, which libpq takes too.
        found |= {"sslmode": "require"} if (key, value) == ("ssl", "true") else {key: value}
    return {key: unquote(value) for key, value in found.items() if value.strip(",")}


def joined(below: Mapping[str, str], dsn: str, above: Mapping[str, str]) -> str:
    """Return one connection string: `dsn` wins over `below`, and `above` over both; libpq takes the last of a key."""
    if is_url(dsn):
        query = _split_url(dsn)[3]
        base = dsn[: len(dsn) - len(query)].removesuffix("?")
        return f"{base}?{'&'.join(filter(None, (_query(below), query, _query(above))))}".removesuffix("?")
    return " ".join(filter(None, (_pairs(below), dsn.strip(), _pairs(above))))


def _query(parameters: Mapping[str, str]) -> str:
    return "&".join(f"{key}={quote(value, safe='')}" for key, value in parameters.items())


def _pairs(parameters: Mapping[str, str]) -> str:
    escaped = {key: value.replace("\\", "\\\\").replace("'", "\\'") for key, value in parameters.items()}
    return " ".join(f"{key}='{value}'" for key, value in escaped.items())


def where(parameters: Mapping[str, str]) -> str:
    """Return where parameters lead, for people: hosts, ports, database, user; nothing else."""
    hosts = (parameters.get("host") or parameters.get("hostaddr") or "localhost").split(",")
    ports = (parameters.get("port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = ",".join(f"{host or 'localhost'}:{port or '5432'}" for host, port in zip(hosts, ports, strict=False))
    who = f" as {parameters['user']}" if parameters.get("user") else ""
    return f"{places}/{parameters.get('dbname', '')}{who}"

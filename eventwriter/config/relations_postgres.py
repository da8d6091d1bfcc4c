"""What PostgreSQL's settings must be to each other; pure."""

from collections.abc import Iterator, Mapping

from eventwriter.config.mistakes import Path, named, shown
from eventwriter.config.settings import PostgresSettings

_VERIFYING = ("verify-full", "verify-ca")


def postgres_mistakes(postgres: PostgresSettings, names: Mapping[Path, str]) -> Iterator[str]:
    """
    Yield what contradicts itself, one sentence each.

    Args:
        postgres: The settings.
        names: What to call a path, where it was not written under its own name.
    """
    if postgres.sslkey and not postgres.sslcert and postgres.dsn is None:
        yield "postgres.sslkey: given without postgres.sslcert; give both, or neither"
    hosts, ports = (len(text.split(",")) if text else 0 for text in (postgres.host, postgres.port))
    if ports > 1 and hosts and ports != hosts:
        yield f"postgres.port: {ports} ports for {hosts} hosts; give one, or one for each host"
    yield from _tls(postgres, names)


def _tls(postgres: PostgresSettings, names: Mapping[Path, str]) -> Iterator[str]:
    """Certificates say that the other side is to be known; a mode that does not look at it says the contrary."""
    key, given = postgres.certificate_key(), postgres.parameters()
    mode = given.get("sslmode")
    if key is None or mode is None:
        return
    # With the system's authorities, anybody's certificate is good but for its name: libpq refuses less.
    allowed = _VERIFYING[:1] if given.get("sslrootcert") == "system" else _VERIFYING
    if mode not in allowed:
        place = _place(postgres, "sslmode", names)
        yield (
            f"{place}: {shown(mode)} contradicts {_place(postgres, key, names)}, with which the server is verified;"
            f" allowed beside it are {' and '.join(allowed)}; write {allowed[0]}, or remove one of the two"
        )


def _place(postgres: PostgresSettings, key: str, names: Mapping[Path, str]) -> str:
    """Say where a parameter is given: beside the DSN, which wins, or in it."""
    if getattr(postgres, key) is not None:
        return named(("postgres", key), names)
    return f"{named(('postgres', 'dsn'), names)} ({key})"

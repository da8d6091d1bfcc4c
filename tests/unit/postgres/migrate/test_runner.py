"""What migrate makes of a connection string, before it asks a server."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from eventwriter.errors import Fatal
from eventwriter.postgres.migrate.runner import described


@pytest.mark.parametrize(
    ("dsn", "target"),
    [
        ("postgresql://anna:hush@db.example:6432/metrics", "db.example:6432/metrics as anna"),
        ("host=/tmp/sock dbname=metrics user=anna password=hush", "/tmp/sock:5432/metrics as anna"),
        ("host=a,b user=anna", "a,b:5432/anna as anna"),
        ("", "localhost:5432/"),
    ],
)
def test_server_is_called_by_its_place_without_the_password(dsn: str, target: str) -> None:
    """Sentences name host, port, database and user, and never the password."""
    assert target == described(dsn)[1]


def test_given_parameters_win_over_ours() -> None:
    """A connection string gets a time limit and our name, unless it has its own."""
    full = conninfo_to_dict(described("host=a connect_timeout=3")[0])

    assert {"host": "a", "connect_timeout": "3", "application_name": "eventwriter"} == full


@pytest.mark.parametrize("dsn", ["hush", "postgres//anna:hush@db/x", "host=a hush=1"])
def test_what_is_no_connection_string_is_refused_without_being_repeated(dsn: str) -> None:
    """A mistyped connection string may hold a password, so the sentence says what to write and not what was written."""
    with pytest.raises(Fatal, match="no PostgreSQL connection string; write postgresql://") as caught:
        described(dsn)

    assert "hush" not in str(caught.value)

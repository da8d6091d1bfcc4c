"""The real tables that any kind can fill, of every generation, in one database."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from fix_servers import Addresses
from fuzz.lanes import make_tables


@pytest.fixture(scope="session")
def all_tables(servers: Addresses) -> Iterator[str]:
    """The URL of a database with all tables (`fuzz.lanes`); who writes there rolls back."""
    name = f"all_tables_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    make_tables(servers.database_url(name))
    yield servers.database_url(name)
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")

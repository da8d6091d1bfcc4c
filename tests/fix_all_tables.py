"""A database with all tables of every generation that any kind can fill."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from fix_servers import Addresses
from fuzz.targets import create_tables


@pytest.fixture(scope="session")
def all_tables(servers: Addresses) -> Iterator[str]:
    """The URL of a database with all tables of `fuzz.targets`; tests roll back what they write."""
    name = f"all_tables_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    create_tables(servers.database_url(name))
    yield servers.database_url(name)
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")

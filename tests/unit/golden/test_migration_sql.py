"""The SQL that `eventwriter migrate --dry-run` prints for an empty database."""

import datetime as dt

import pytest
from fix_golden import CheckGolden

from eventwriter.postgres.migrate.plan import MigrateOptions, empty_database_script

NOW = dt.datetime(2026, 1, 15, 12, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("migrate_default.sql", MigrateOptions(), id="default configuration"),
        pytest.param(
            "migrate_plain.sql", MigrateOptions(schema="siem events", plain=True), id="plain tables in a schema"
        ),
    ],
)
def test_sql_is_unchanged(name: str, options: MigrateOptions, check_golden: CheckGolden) -> None:
    """The planner writes the stored SQL."""
    check_golden(name, "".join(f"{line}\n" for line in empty_database_script(options, NOW)))

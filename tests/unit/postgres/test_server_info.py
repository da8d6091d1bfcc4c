"""Comparison of applied migrations with those of the release."""

from eventwriter.postgres.migrate.files import parse_migration
from eventwriter.postgres.migrate.plan import Record
from eventwriter.postgres.server_info import compare_migrations

FIRST = parse_migration("0001_a.sql", "-- table: a\nCREATE TABLE a ();")
SECOND = parse_migration("0002_b.sql", "-- table: b\nCREATE TABLE b ();")
APPLIED = Record("a", FIRST.checksum, "applied")


def test_applied_migrations_have_no_differences() -> None:
    """If all files were applied unchanged, nothing is missing, changed or newer."""
    state = compare_migrations((FIRST,), {1: APPLIED}, {"a"})

    assert ((), (), ()) == (state.missing, state.changed, state.newer)


def test_missing_changed_and_newer_migrations_are_listed() -> None:
    """A missing table, a changed file and an unknown version are listed separately."""
    state = compare_migrations((FIRST, SECOND), {1: Record("a", "other", "applied"), 9: APPLIED}, {"a"})

    assert ("0002 b",) == state.missing
    assert ["0001 a"] == [text.removeprefix("migration ").partition(" was")[0] for text in state.changed]
    assert (9,) == state.newer

"""Statements that begin a transaction."""

from eventwriter.config.settings import PostgresSettings
from eventwriter.postgres.session import begin_sql


def settings(**params: str) -> PostgresSettings:
    return PostgresSettings.model_validate({"runtime_params": params})


def test_begin_quotes_names_and_values_of_parameters() -> None:
    """SQL within the name or the value of a runtime parameter is text."""
    sql = begin_sql(settings(**{'a" = 1; DROP TABLE x; --': "b'; DROP TABLE y; --"}))

    assert """SET LOCAL "a"" = 1; DROP TABLE x; --" = 'b''; DROP TABLE y; --'""" in sql


def test_begin_quotes_each_name_of_a_search_path() -> None:
    """The names of a search path are taken literally, whether they are quoted or not."""
    sql = begin_sql(settings(search_path='Events, "public"'))

    assert 'SET LOCAL "search_path" = "Events", "public"' in sql


def test_read_only_begin_has_the_parameters_of_a_writing_one() -> None:
    """A read-only transaction sees the same tables and keeps the same time limits as a worker's."""
    params = settings(search_path="events")

    writing, reading = begin_sql(params).split("; "), begin_sql(params, read_only=True).split("; ")

    assert "BEGIN READ ONLY" == reading[0]
    assert reading[1:] == writing[1 : len(reading)]

"""How a batch's transaction begins."""

from eventwriter.config.settings import PostgresSettings
from eventwriter.postgres.copy import begin_sql


def test_parameters_cannot_break_out() -> None:
    """Names and values of runtime parameters are quoted: what looks like SQL in them is text."""
    settings = PostgresSettings.model_validate({"runtime_params": {'a" = 1; DROP TABLE x; --': "b'; DROP TABLE y; --"}})

    assert """SET LOCAL "a"" = 1; DROP TABLE x; --" = 'b''; DROP TABLE y; --'""" in str(begin_sql(settings))

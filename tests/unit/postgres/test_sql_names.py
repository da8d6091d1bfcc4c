"""Review of every expression that is formatted into SQL text."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import eventwriter

ROOT = Path(eventwriter.__file__).parent
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|COPY|LOCK|SET|WITH|GRANT|TRUNCATE|COMMENT)\b[ (]")

QUOTING = ("quote_ident(", "quote_idents(", "quote_literal(", "interval_literal(", "timestamp_literal(")
"""Calls of `postgres.quoting`."""
CONSTANTS = (
    "LOCK", "LOCK_S_MAX * 1000", "LOCK_TIMEOUT", "RECORDS", "STATEMENT_S_MAX * 1000", "_FIELDS",
    "_FIELDS_WITHOUT_PAYLOAD", "_KEY", "_LIKE", "_OLDER", "_QUERY_MS_MAX", "ORDER", "STAGING", "staging.ORDER",
    "staging.STAGING", "cases", "', '.join(lacking)", "arrays", "cast",
    "mode", "needed", "number", "policy", "same", "version", "where",
)  # fmt: skip
"""Constants, and text that is composed of constants only."""
QUOTED = (
    "', '.join((f'{name} = EXCLUDED.{name}' for name in changed))", "', '.join(names)", "_values(new.period)",
    "binding.target", "column", "columns", "default", "ledger", "ledger.table", "leading", "lookup.target", "name",
    "names", "origin", "parent.default_partition", "parent.name", "partition", "quoted_value", "records", "relation",
    "schema", "self.table", "table", "table.default_partition", "table.name", "target", "time_column", "values",
)  # fmt: skip
"""Names and lists of values that are quoted where they are built."""
GENERATED = ("calls", "chunk", "first", "high", "last", "low", "width")
"""Timestamps, intervals and numbers that the program formats itself."""


def interpolations() -> Iterator[tuple[str, str]]:
    """Yield every expression within an f-string that starts like SQL, with its file."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.JoinedStr) or not isinstance(node.values[0], ast.Constant):
                continue
            if SQL.match(str(node.values[0].value)):
                parts = [part for part in node.values if isinstance(part, ast.FormattedValue)]
                yield from ((ast.unparse(part.value), str(path.relative_to(ROOT))) for part in parts)


def test_every_expression_in_sql_is_quoted_or_reviewed() -> None:
    """An expression that is formatted into SQL is a quoting call or is on one of the reviewed lists."""
    reviewed = {*CONSTANTS, *QUOTED, *GENERATED}
    found = list(interpolations())
    new = [(code, path) for code, path in found if code not in reviewed and not code.startswith(QUOTING)]

    assert len(found) > 50
    assert not new, "quote the expression, pass it as a parameter, or review it and add it to a list"


def test_reviewed_expressions_exist() -> None:
    """Every reviewed expression still occurs, so that a list does not excuse another one of the same name later."""
    assert {*CONSTANTS, *QUOTED, *GENERATED} <= {code for code, _ in interpolations()}

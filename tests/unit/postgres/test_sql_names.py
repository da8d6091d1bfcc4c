"""What is put into SQL as text: each expression has been looked at, and is listed here with why it may stand there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import eventwriter

ROOT = Path(eventwriter.__file__).parent
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|COPY|LOCK|SET|WITH|GRANT|TRUNCATE|COMMENT)\b[ (]")

QUOTING = ("quoted(", "literal(", "', '.join(map(quoted, ", "_value(", "_name(", "_listed(")
"""Calls that quote names or strings."""
OUR_WORDS = (
    "LOCK", "LOCK_S_MAX * 1000", "LOCK_TIMEOUT", "RECORDS", "STATEMENT_S_MAX * 1000", "_FIELDS", "_HEADS", "_KEY",
    "_LIKE", "_ORDER", "_STAGING", "mode", "where", "wanted", "same", "version", "shape", "number",
    "', '.join(lacking)",
)  # fmt: skip
"""Constants of the program, and texts that it makes of its own words only; values in them are parameters."""
QUOTED_BEFORE = (
    "', '.join((f'{name} = EXCLUDED.{name}' for name in changed))", "', '.join(names)", "binding.target", "column",
    "columns", "default", "ledger", "ledger.table", "name", "names", "of", "origin", "part", "records", "relation",
    "root.name", "root.of(default_of(table))", "root.of(one.name)", "root.of(root.default)", "search.target",
    "self.table", "table", "target", "time_column",
)  # fmt: skip
"""Names that were quoted where they were made (`catalog.bind`, `migration_plan`, `time_partitions`)."""
MADE_HERE = ("chunk", "first", "high", "last", "low", "width")
"""Instants, intervals and numbers that the program writes itself."""


def interpolated() -> Iterator[tuple[str, str]]:
    """Yield every expression within a text that begins like SQL, and its file."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.JoinedStr) or not isinstance(node.values[0], ast.Constant):
                continue
            if SQL.match(str(node.values[0].value)):
                parts = [part for part in node.values if isinstance(part, ast.FormattedValue)]
                yield from ((ast.unparse(part.value), str(path.relative_to(ROOT))) for part in parts)


def test_whatever_stands_in_sql_was_looked_at() -> None:
    """An expression that is new in SQL is quoted by a call, or has been looked at and is on a list above."""
    known = {*OUR_WORDS, *QUOTED_BEFORE, *MADE_HERE}
    found = list(interpolated())
    new = [(what, where) for what, where in found if what not in known and not what.startswith(QUOTING)]

    assert len(found) > 50
    assert not new, "quote it, make it a parameter, or look at it and add it"


def test_no_list_has_what_is_gone() -> None:
    """What is listed is still there, so that a list does not excuse something else of the same name later."""
    assert {*OUR_WORDS, *QUOTED_BEFORE, *MADE_HERE} <= {what for what, _ in interpolated()}

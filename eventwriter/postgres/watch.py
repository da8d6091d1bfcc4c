"""
Tables that are changed under a running worker: noticed by the transaction that would write them.

A worker's encoders are made for the columns as they were when it bound. An ALTER may
make PostgreSQL refuse good rows, and one from bigint to double precision would even
have it take their bytes for other values. So each batch's transaction, in the round
trip that begins it, locks its tables as COPY would, and asks for a mark of their
columns. From then on they cannot change before its end.
"""

from collections.abc import Sequence

# ONLY: a parent may have thousands of partitions, and COPY locks those that it writes.
_LOCK = "LOCK TABLE {tables} IN ROW EXCLUSIVE MODE"
# A catalog row gets another xmin whenever it is changed; VACUUM leaves it alone.
_MARK = (
    "SELECT string_agg(attrelid::text || ' ' || attnum::text || ' ' || xmin::text, ',' ORDER BY attrelid, attnum)"
    " FROM pg_catalog.pg_attribute WHERE attnum > 0 AND attrelid IN ({tables})"
)


def begin_sql(begin: str, targets: Sequence[str]) -> str:
    """
    Return what begins a transaction; its last result is one mark of all columns.

    Args:
        begin: BEGIN and what is set.
        targets: Qualified, quoted names of the tables that will be written; at least one.
    """
    names = list(dict.fromkeys(targets))
    lock = _LOCK.format(tables=", ".join(f"ONLY {name}" for name in names))
    mark = _MARK.format(tables=", ".join(f"{_literal(name)}::pg_catalog.regclass" for name in names))
    return f"{begin}; {lock}; {mark}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

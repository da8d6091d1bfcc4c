"""Real tables of every generation accept the rows of arbitrary messages of every kind."""

import asyncio
from collections import Counter

import pytest
from fuzz.copier import ALLOWED_SQLSTATES, Copier
from fuzz.targets import ANY, MIGRATED, load_targets
from golden_rows import delivery
from hypothesis import given, settings
from hypothesis import strategies as st
from payload_strategies import MESSAGES

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.postgres.encode import ENCODE_ERRORS

EXAMPLES = 250
ROWS_MIN = 5


@pytest.mark.parametrize("kind", KINDS)
def test_any_row_is_accepted(all_tables: str, kind: str) -> None:
    """PostgreSQL rejects rows only for NULL in a NOT NULL column of the real table, or because they are too long."""
    targets, _ = asyncio.run(load_targets(all_tables))
    writers = [(target, target.writers()) for target in targets if target.kind.name == kind]
    rejected: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    copier = Copier(all_tables, rejected, {}, counts, every=True)

    @settings(deadline=None, max_examples=EXAMPLES)
    @given(data=st.data())
    def collect(data: st.DataObject) -> None:
        n = counts["messages"] = counts["messages"] + 1
        message = delivery(data.draw(MESSAGES[kind]), "x.y")._replace(stream_seq=n)
        for target, tables in writers:
            try:
                for index, record in enumerate(KINDS[kind].decode(message)):
                    for one in tables:
                        if row := one.build(record, message, index):
                            out = bytearray()
                            one.encode(row, out)
                            copier.offer(str(target), one.binding, row, bytes(out), n)
                            rows[str(target)] += 1
            except (Poison, *ENCODE_ERRORS):
                continue

    collect()
    copier.finish()

    assert [] == [what for what in rejected if what.partition(": ")[2][:5] not in ALLOWED_SQLSTATES]
    assert sum(rows.values()) == counts["rows copied"] + sum(rejected.values())
    assert all(rows[str(target)] >= ROWS_MIN for target, _ in writers if target.schema in (MIGRATED, ANY))

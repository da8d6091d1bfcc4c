"""Whatever rows messages of any kind make, the real tables of every generation take them."""

import asyncio
from collections import Counter

import pytest
from fuzz.copying import EXPECTED, Copier
from fuzz.lanes import ANY, OURS, lanes
from golden_rows import delivery
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_messages import MESSAGES

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.postgres.encode import ENCODE_ERRORS

EXAMPLES = 250
ROWS_MIN = 5


@pytest.mark.parametrize("kind", KINDS)
def test_any_row_is_accepted(all_tables: str, kind: str) -> None:
    """No row is refused but for what is said of the real table: NULL where it forbids it, too long for it."""
    every, _ = asyncio.run(lanes(all_tables))
    made = [(lane, lane.made()) for lane in every if lane.kind.name == kind]
    refused: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    copier = Copier(all_tables, refused, {}, counts, every=True)

    @settings(deadline=None, max_examples=EXAMPLES)
    @given(data=st.data())
    def collect(data: st.DataObject) -> None:
        n = counts["messages"] = counts["messages"] + 1
        message = delivery(data.draw(MESSAGES[kind]), "x.y")._replace(stream_seq=n)
        for lane, tables in made:
            try:
                for index, record in enumerate(KINDS[kind].decode(message)):
                    for one in tables:
                        if row := one.build(record, message, index):
                            out = bytearray()
                            one.encode(row, out)
                            copier.offer(str(lane), one.binding, row, bytes(out), n)
                            rows[str(lane)] += 1
            except (Poison, *ENCODE_ERRORS):
                continue

    collect()
    copier.finish()

    assert [] == [what for what in refused if what.partition(": ")[2][:5] not in EXPECTED]
    assert sum(rows.values()) == counts["rows copied"] + sum(refused.values())
    assert all(rows[str(lane)] >= ROWS_MIN for lane, _ in made if lane.schema in (OURS, ANY))

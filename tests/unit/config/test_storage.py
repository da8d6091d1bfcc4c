"""How tables are looked after: reading the section, and what contradicts itself in it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eventwriter.config.load import load
from eventwriter.config.settings import KIND_OF_TABLE, StorageSettings
from eventwriter.errors import ConfigError
from eventwriter.postgres.migrate.files import shipped


def read(folder: Path, section: Mapping[str, Any]) -> StorageSettings:
    path = folder / "c.json"
    path.write_text(json.dumps({"storage": section}))
    return load(str(path), {}).settings.storage


def test_table_takes_what_it_does_not_say_from_the_section(tmp_path: Path) -> None:
    """A table's own keys win, the others are the section's; a table that is not named has all of the section's."""
    storage = read(tmp_path, {"keep": "30d", "ahead": 3, "tables": {"logs": {"keep": "forever", "partition": "6h"}}})

    logs, events = storage.of("logs"), storage.of("events")
    assert (math.inf, 21600.0, 3) == (logs.keep_s, logs.partition_s, logs.ahead)
    assert (2592000.0, 86400.0, 3) == (events.keep_s, events.partition_s, events.ahead)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"partition": "90m"}, 'storage.partition: "90m"; whole hours are wanted, like "1d", "6h" or "7d"'),
        ({"keep": "soon"}, 'storage.keep: "soon"; write a duration'),
        ({"tables": {"lgs": {}}}, "storage.tables: lgs is none of eventwriter's tables; did you mean logs?"),
        ({"tables": {"logs": {"kep": "1d"}}}, "storage.tables.logs.kep: not a known key; did you mean keep?"),
        (
            {"tables": {"logs": {"keep": "5d", "compress_after": "7d"}}},
            "storage.tables.logs: compress_after 7d must be below keep 5d",
        ),
        ({"maintain": True, "every": "4d"}, "storage.every 4d is more than half of what storage makes ahead"),
    ],
)
def test_mistake_is_one_sentence(tmp_path: Path, section: Mapping[str, Any], said: str) -> None:
    """Each is named with its key path and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, section)

    assert 1 == len(caught.value.mistakes)
    assert said in caught.value.mistakes[0]


def test_tables_of_the_section_are_those_that_are_cut_by_time() -> None:
    """What may be named is what migrate makes with a time column."""
    assert {migration.table for migration in shipped() if migration.time_column} == set(KIND_OF_TABLE)

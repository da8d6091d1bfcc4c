"""Section `storage`."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eventwriter.config.load import load
from eventwriter.config.settings import StorageSettings
from eventwriter.errors import ConfigError
from eventwriter.kinds.names import KIND_OF_TABLE
from eventwriter.postgres.migrate.files import shipped_migrations


def read(folder: Path, section: Mapping[str, Any]) -> StorageSettings:
    path = folder / "c.json"
    path.write_text(json.dumps({"storage": section}))
    return load(str(path), {}).settings.storage


def test_table_inherits_the_keys_that_it_does_not_set(tmp_path: Path) -> None:
    """A table's own keys take precedence, the others come from the section, as do those of unnamed tables."""
    storage = read(tmp_path, {"keep": "30d", "ahead": 3, "tables": {"logs": {"keep": "forever", "partition": "6h"}}})

    logs, events = storage.of("logs"), storage.of("events")
    assert (math.inf, 21600.0, 3) == (logs.keep_s, logs.partition_s, logs.ahead)
    assert (2592000.0, 86400.0, 3) == (events.keep_s, events.partition_s, events.ahead)


@pytest.mark.parametrize(
    ("section", "key", "code"),
    [
        ({"partition": "90m"}, "storage.partition", "invalid"),
        ({"keep": "soon"}, "storage.keep", "invalid"),
        ({"tables": {"lgs": {}}}, "storage.tables", "not_allowed"),
        ({"tables": {"logs": {"kep": "1d"}}}, "storage.tables.logs.kep", "unknown_key"),
        (
            {"tables": {"logs": {"keep": "5d", "compress_after": "7d"}}},
            "storage.tables.logs.compress_after",
            "conflict",
        ),
        ({"maintain": True, "every": "4d"}, "storage.every", "conflict"),
    ],
)
def test_invalid_value_is_one_error(tmp_path: Path, section: Mapping[str, Any], key: str, code: str) -> None:
    """Each invalid value or combination is reported once, under its key."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, section)

    assert [(key, code)] == [(error.key, error.code) for error in caught.value.errors]


def test_configurable_tables_are_those_with_a_time_column() -> None:
    """Exceptions can be set for exactly the tables that `migrate` creates with a time column."""
    assert {migration.table for migration in shipped_migrations() if migration.time_column} == set(KIND_OF_TABLE)

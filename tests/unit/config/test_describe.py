"""The settings described."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import eventwriter.config
from eventwriter.config.describe import docstrings, effective, reference, schema
from eventwriter.config.errors import keys, record_in
from eventwriter.config.load import load
from eventwriter.config.settings import Settings

EXAMPLE = Path(eventwriter.config.__file__).with_name("example.toml")
MANUAL = Path(__file__).parents[3] / "docs" / "configuration.md"


def records(record: type[Any] = Settings) -> list[type[Any]]:
    """Return every record of the settings."""
    within = [inner for field in record.model_fields.values() if (inner := record_in(field.annotation))]
    return [record, *(one for inner in within for one in records(inner))]


@pytest.mark.parametrize("record", records(), ids=lambda record: record.__name__)
def test_every_setting_is_described(record: type[Any]) -> None:
    """Each field has a text below it."""
    assert [] == [name for name in record.model_fields if not docstrings()[record.__name__].get(name)]


def test_manual_is_current() -> None:
    """The manual's generated part is what the settings say now."""
    assert MANUAL.read_text().endswith(reference()), "run: bin/manual"


def test_example_loads_as_the_defaults() -> None:
    """The example is a configuration, and its values are the defaults where they can be."""
    example, defaults = (effective(load(path, {}).settings) for path in (str(EXAMPLE), None))
    own = {"enabled", "postgres", "streams"}

    assert {key: value for key, value in defaults.items() if key not in own} == {
        key: value for key, value in example.items() if key not in own
    }
    assert ["TELEMETRY", "NETFLOW"] == [stream["name"] for stream in example["streams"]]


@pytest.mark.parametrize("record", records(), ids=lambda record: record.__name__)
def test_example_has_every_key(record: type[Any]) -> None:
    """Each key stands in the example, set or as a comment."""
    text = EXAMPLE.read_text()

    assert [] == [
        key for key in keys(record) if not re.search(rf"^(# )?(\[+)?{key}\b|[.]{key}\]|\b{key} =", text, re.M)
    ]


def test_commented_keys_of_the_example_are_known() -> None:
    """What stands behind a comment sign can be used: the example without those signs has no unknown key."""
    lines = [re.sub(r"^# (?=\[?[a-z_.]+\]?( =|$| +#))", "", line) for line in EXAMPLE.read_text().splitlines()]
    text = "\n".join(line for line in lines if not line.startswith("streams = "))

    built = Settings.model_validate({**tomllib.loads(text), "streams": ()}, by_alias=True, by_name=False)
    assert ("/etc/eventwriter/root.pem", "operators") == (
        built.nats.tls and built.nats.tls.ca_file,
        built.control.group,
    )


def test_what_show_prints_is_a_configuration(tmp_path: Path) -> None:
    """The settings in effect, printed and read again, are the same settings."""
    before = load(str(EXAMPLE), {"EVENT_WRITER_BATCH_TIMEOUT": "250"}).settings
    printed = effective(before)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(printed))

    assert before == load(str(path), {}).settings


def test_secrets_are_not_shown() -> None:
    """Passwords are asterisks, also within a server's URL."""
    environ = {
        "EVENT_WRITER_NATS_URL": "nats://u:hunter2@h:4222",
        "CNPG_PASSWORD": "hunter2",
        "EVENT_WRITER_POSTGRES_DSN": "host=h password=hunter2",
    }
    printed = json.dumps(effective(load(None, environ).settings))

    assert ("nats://**********@h:4222" in printed, False) == (True, "hunter2" in printed)


def test_schema_is_json_that_every_reader_takes() -> None:
    """Its defaults are values as a file has them, also those without an end."""
    described = json.loads(json.dumps(schema(), allow_nan=False))

    assert "forever" == described["$defs"]["StorageSettings"]["properties"]["keep"]["default"]


def test_schema_has_what_files_may_have() -> None:
    """Every key of the example is in the schema, with a description; so are the shorthands of entries."""
    described = schema()
    entry = described["$defs"]["StreamSettings"]["properties"]
    data = tomllib.loads(EXAMPLE.read_text())

    assert [] == [key for key in data if "description" not in described["properties"][key]]
    assert {"subject", "table", *data["streams"][1]} <= entry.keys()
    assert [] == described["$defs"]["StreamSettings"]["required"]

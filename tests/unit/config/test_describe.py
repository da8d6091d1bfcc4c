"""Descriptions of the settings."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

import eventwriter.config
from eventwriter.config.describe import effective, field_docstrings, reference, schema, sections
from eventwriter.config.errors import keys
from eventwriter.config.load import load
from eventwriter.config.settings import Settings

EXAMPLE = Path(eventwriter.config.__file__).with_name("example.toml")
MANUAL = Path(__file__).parents[3] / "docs" / "configuration.md"


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_field_has_a_docstring(section: type[BaseModel]) -> None:
    """Each field has a text below it."""
    assert [] == [name for name in section.model_fields if not field_docstrings(section).get(name)]


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_field_is_named_like_its_key(section: type[BaseModel]) -> None:
    """A field has the name of its key; only the unit of a duration is added."""
    renamed = {name: field.alias for name, field in section.model_fields.items() if field.alias}
    renamed.pop("schema_name", None)  # pydantic's models have an attribute `schema`

    assert {name: name.removesuffix("_s") for name in renamed} == renamed


def test_manual_is_current() -> None:
    """The generated part of the manual equals the current reference."""
    assert MANUAL.read_text().endswith(reference()), "run: bin/manual"


def test_example_loads_as_the_defaults() -> None:
    """The example is a valid configuration, and its values are the defaults except for the required ones."""
    example, defaults = (effective(load(path, {}).settings) for path in (str(EXAMPLE), None))
    own = {"enabled", "postgres", "streams"}

    assert {key: value for key, value in defaults.items() if key not in own} == {
        key: value for key, value in example.items() if key not in own
    }
    assert ["TELEMETRY", "NETFLOW"] == [stream["name"] for stream in example["streams"]]


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_example_has_every_key(section: type[BaseModel]) -> None:
    """The example contains each key, set or in a comment."""
    text = EXAMPLE.read_text()

    assert [] == [
        key for key in keys(section) if not re.search(rf"^(# )?(\[+)?{key}\b|[.]{key}\]|\b{key} =", text, re.M)
    ]


def test_keys_in_comments_of_the_example_are_valid() -> None:
    """The example has no unknown key after its comment signs are removed."""
    lines = [re.sub(r"^# (?=\[?[a-z_.]+\]?( =|$| +#))", "", line) for line in EXAMPLE.read_text().splitlines()]
    text = "\n".join(line for line in lines if not line.startswith("streams = "))

    built = Settings.model_validate({**tomllib.loads(text), "streams": ()}, by_alias=True, by_name=False)
    assert ("/etc/eventwriter/root.pem", "operators") == (
        built.nats.tls and built.nats.tls.ca_file,
        built.control.group,
    )


def test_effective_settings_can_be_loaded_again(tmp_path: Path) -> None:
    """The settings in effect, written to a file and loaded, are the same settings."""
    before = load(str(EXAMPLE), {"EVENT_WRITER_BATCH_TIMEOUT": "250"}).settings
    printed = effective(before)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(printed))

    assert before == load(str(path), {}).settings


def test_secrets_are_not_shown() -> None:
    """Passwords are shown as asterisks, also within a server's URL."""
    environ = {
        "EVENT_WRITER_NATS_URL": "nats://u:hunter2@h:4222",
        "CNPG_PASSWORD": "hunter2",
        "EVENT_WRITER_POSTGRES_DSN": "host=h password=hunter2",
    }
    printed = json.dumps(effective(load(None, environ).settings))

    assert ("nats://**********@h:4222" in printed, False) == (True, "hunter2" in printed)


def test_schema_is_strict_json() -> None:
    """Defaults in the schema have the form of a file, also infinite durations."""
    described = json.loads(json.dumps(schema(), allow_nan=False))

    assert "forever" == described["$defs"]["StorageSettings"]["properties"]["keep"]["default"]


def test_schema_contains_keys_and_shorthands() -> None:
    """Every key of the example is in the schema with a description, and so are the shorthands of entries."""
    described = schema()
    entry = described["$defs"]["StreamSettings"]["properties"]
    data = tomllib.loads(EXAMPLE.read_text())

    assert [] == [key for key in data if "description" not in described["properties"][key]]
    assert {"subject", "table", *data["streams"][1]} <= entry.keys()
    assert [] == described["$defs"]["StreamSettings"]["required"]

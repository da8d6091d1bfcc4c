"""
Stream entries as people write them, made into settings: names brought to life, shorthands spelled out.

What follows from what: subjects and kind from the name (TELEMETRY), the kind from
the table, the name from the table.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from eventwriter.config.errors import Path, near, sentences, shown
from eventwriter.config.settings import DEFAULT_STREAMS, DEFAULT_SUBJECTS, KIND_OF_TABLE, RAW_INPUTS, StreamSettings

_MAX_BATCH_SIZE = StreamSettings.model_fields["max_batch_size"].default


@dataclass(frozen=True, slots=True)
class EntryDefaults:
    """
    What entries get from outside.

    Attributes:
        stream_name: JetStream's stream, where an entry gives none.
        above: Keys from the environment: over what the entry says.
        names: What to call the entries, where the file has them otherwise (joined ones of the Go writer's).
    """

    stream_name: str
    above: Mapping[str, Any] = field(default_factory=dict)
    names: Sequence[str] = ()


def entries(given: Any, defaults: EntryDefaults, mistakes: list[str]) -> list[StreamSettings]:
    """
    Return the entries that can be used.

    Args:
        given: What the file has at `streams`; None for the default streams.
        mistakes: What is wrong is appended, one sentence each.
    """
    if given is None:
        given = list(DEFAULT_STREAMS)
    if not isinstance(given, list) or not given:
        mistakes.append(f'streams: {shown(given)}; a list of names or entries is wanted, like ["TELEMETRY", "NETFLOW"]')
        return []
    built = [_entry(entry, at, defaults, mistakes) for at, entry in enumerate(given)]
    return [stream for stream in built if stream is not None]


def _entry(entry: Any, at: int, defaults: EntryDefaults, mistakes: list[str]) -> StreamSettings | None:
    base: Path = ("streams", at)
    names = {base: defaults.names[at]} if at < len(defaults.names) else {}
    path = names.get(base) or f"streams[{at}]"
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict):
        mistakes.append(f"{path}: {shown(entry)}; a name or an entry with keys is wanted")
        return None
    before = len(mistakes)
    fields = spelled_out({**entry, **defaults.above}, path, mistakes)
    fields.setdefault("stream_name", defaults.stream_name)
    try:
        built = StreamSettings.model_validate(fields, by_alias=True, by_name=False)
    except ValidationError as error:
        mistakes += sentences(error, StreamSettings, base, names)
        return None
    return built if len(mistakes) == before else None


def spelled_out(entry: Mapping[str, Any], path: str, mistakes: list[str]) -> dict[str, Any]:
    """Return an entry's keys without shorthands, and with what follows from them."""
    fields = dict(entry)
    _plural(fields, "subject", "subjects", path, mistakes)
    _plural(fields, "table", "tables", path, mistakes)
    _schema(fields, path, mistakes)
    tables = fields.get("tables")
    first = tables[0] if isinstance(tables, list) and tables and isinstance(tables[0], str) else None
    if "name" not in fields and first:
        fields["name"] = name_of(first)
    name = str(fields.get("name", "")).upper()
    _partitions(fields, path, mistakes)
    if "subjects" not in fields and name:
        if name in DEFAULT_SUBJECTS:
            fields["subjects"] = list(DEFAULT_SUBJECTS[name])
        else:
            mistakes.append(
                f"{path}.subjects: missing, and the name {shown(fields['name'])} brings none along"
                f"{near(name, DEFAULT_SUBJECTS)}"
            )
            fields["subjects"] = [">"]  # so that what else is wrong is found as well
    if "kind" not in fields:
        by_name = name.lower() if name in DEFAULT_SUBJECTS else "json"
        fields["kind"] = KIND_OF_TABLE.get(first or "", by_name)
    if fields["kind"] == "logs" and "ignore_subjects" not in fields:
        fields["ignore_subjects"] = [raw for raw in RAW_INPUTS if raw not in fields.get("subjects", ())]
    if "max_batch_size" not in fields and isinstance(size := fields.get("batch_size"), int):
        fields["max_batch_size"] = max(size, _MAX_BATCH_SIZE)
    return fields


def name_of(text: str) -> str:
    """Return a table's name as an entry's."""
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")


def _plural(fields: dict[str, Any], one: str, many: str, path: str, mistakes: list[str]) -> None:
    """Make `table: x` and `tables: x` into `tables: [x]`."""
    if one in fields and many in fields:
        mistakes.append(f"{path}: has both {one} and {many}; keep one of them")
    if one in fields:
        fields[many] = [fields.pop(one)]
    elif isinstance(fields.get(many), str):
        fields[many] = [fields[many]]


def _partitions(fields: dict[str, Any], path: str, mistakes: list[str]) -> None:
    """Have `partition_subjects` say `partitions` and `subjects` too."""
    lists = fields.get("partition_subjects")
    if not isinstance(lists, list) or not lists or not all(isinstance(one, list) for one in lists):
        return
    if "subjects" in fields:
        mistakes.append(f"{path}: has both subjects and partition_subjects; keep one of them")
    fields.setdefault("partitions", len(lists))
    fields["subjects"] = [subject for one in lists for subject in one]


def _schema(fields: dict[str, Any], path: str, mistakes: list[str]) -> None:
    """Make `tables: ["a.b"]` into `schema: a` and `tables: ["b"]`."""
    tables = fields.get("tables")
    if not isinstance(tables, list) or not all(isinstance(table, str) for table in tables):
        return
    schemas = {table.rpartition(".")[0] for table in tables if "." in table}
    if not schemas:
        return
    if given := fields.get("schema"):
        schemas.add(given)
    if len(schemas) > 1 or not all("." in table or given for table in tables):
        mistakes.append(
            f"{path}.tables: {shown(tables)}; tables of one entry lie in one schema, with ledger and dead letters"
        )
    fields["schema"] = min(schemas)
    fields["tables"] = [table.rpartition(".")[2] for table in tables]

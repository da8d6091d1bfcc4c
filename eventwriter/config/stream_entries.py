"""
Stream entries as users write them, expanded to complete settings.

Shorthands are expanded (`subject`, `table`, `schema.table`), and absent keys are inferred: subjects
and kind from a name like TELEMETRY, the kind from the table, the name from the table.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from eventwriter.config.errors import Path, SettingError, display, setting_errors, suggest
from eventwriter.config.settings import BATCH_MESSAGES_MAX, RAW_INPUTS, StreamSettings
from eventwriter.kinds.names import DEFAULT_SUBJECTS, KIND_OF_TABLE

_MAX_BATCH_SIZE = StreamSettings.model_fields["max_batch_size"].default


@dataclass(frozen=True, slots=True)
class EntryDefaults:
    """
    Values that entries take from elsewhere.

    Attributes:
        stream_name: JetStream stream of entries that name none.
        overrides: Keys from the environment; they override every entry's own.
        override_names: Key in `overrides` → variable.
        names: What to call each entry in errors, if the file writes entries differently (the
            Go writer's pairs, which are combined).
    """

    stream_name: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    override_names: Mapping[str, str] = field(default_factory=dict)
    names: Sequence[str] = ()


def build_entries(given: Any, defaults: EntryDefaults, errors: list[SettingError]) -> list[StreamSettings]:
    """
    Return the valid entries.

    Args:
        given: Value of `streams` in the file; None for the default entries.
        defaults: Values from elsewhere.
        errors: Receives the errors found.
    """
    if given is None:
        given = list(DEFAULT_SUBJECTS)
    if not isinstance(given, list) or not given:
        errors.append(
            SettingError(
                "streams",
                "wrong_type",
                f'{display(given)} is not a list of names or entries; write one like ["TELEMETRY", "NETFLOW"]',
            )
        )
        return []
    entries = [_build_entry(entry, position, defaults, errors) for position, entry in enumerate(given)]
    return [entry for entry in entries if entry is not None]


def _build_entry(
    entry: Any, position: int, defaults: EntryDefaults, errors: list[SettingError]
) -> StreamSettings | None:
    base: Path = ("streams", position)
    names = {base: defaults.names[position]} if position < len(defaults.names) else {}
    path = names.get(base) or f"streams[{position}]"
    names |= {(*base, key): variable for key, variable in defaults.override_names.items()}
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict):
        errors.append(SettingError(path, "wrong_type", f"{display(entry)} is neither a name nor an object with keys"))
        return None
    count = len(errors)
    fields = expand({**entry, **defaults.overrides}, path, errors)
    fields.setdefault("stream_name", defaults.stream_name)
    try:
        stream = StreamSettings.model_validate(fields, by_alias=True, by_name=False)
    except ValidationError as error:
        errors += setting_errors(error, StreamSettings, base, names)
        return None
    return stream if len(errors) == count else None


def expand(entry: Mapping[str, Any], path: str, errors: list[SettingError]) -> dict[str, Any]:
    """Return an entry's keys with shorthands expanded and absent keys inferred."""
    fields = dict(entry)
    _expand_plural(fields, "subject", "subjects", path, errors)
    _expand_plural(fields, "table", "tables", path, errors)
    _split_schema(fields, path, errors)
    tables = fields.get("tables")
    first = tables[0] if isinstance(tables, list) and tables and isinstance(tables[0], str) else None
    if "name" not in fields and first:
        fields["name"] = entry_name(first)
    name = str(fields.get("name", "")).upper()
    _expand_partitions(fields, path, errors)
    if "subjects" not in fields and name:
        fields["subjects"] = _subjects_of(name, path, errors)
    if "kind" not in fields:
        by_name = name.lower() if name in DEFAULT_SUBJECTS else "json"
        fields["kind"] = KIND_OF_TABLE.get(first or "", by_name)
    if fields["kind"] == "logs" and "ignore_subjects" not in fields:
        fields["ignore_subjects"] = [raw for raw in RAW_INPUTS if raw not in fields.get("subjects", ())]
    if "max_batch_size" not in fields and isinstance(size := fields.get("batch_size"), int):
        fields["max_batch_size"] = min(max(size, _MAX_BATCH_SIZE), BATCH_MESSAGES_MAX)
    return fields


def _subjects_of(name: str, path: str, errors: list[SettingError]) -> list[str]:
    if name in DEFAULT_SUBJECTS:
        return list(DEFAULT_SUBJECTS[name])
    message = f"this key is required, because the name {display(name)} implies no subjects"
    errors.append(SettingError(f"{path}.subjects", "missing", message + suggest(name, DEFAULT_SUBJECTS)))
    return [">"]  # lets the remaining keys of the entry be validated


def entry_name(text: str) -> str:
    """Return the name of an entry that is derived from a table's name."""
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")


def _expand_plural(fields: dict[str, Any], one: str, many: str, path: str, errors: list[SettingError]) -> None:
    """Replace `table: x` and `tables: x` by `tables: [x]`."""
    if one in fields and many in fields:
        errors.append(SettingError(path, "conflict", f"{one} and {many} are both set; remove one of them"))
    if one in fields:
        fields[many] = [fields.pop(one)]
    elif isinstance(fields.get(many), str):
        fields[many] = [fields[many]]


def _expand_partitions(fields: dict[str, Any], path: str, errors: list[SettingError]) -> None:
    """Infer `partitions` and `subjects` from `partition_subjects`."""
    lists = fields.get("partition_subjects")
    if not isinstance(lists, list) or not lists or not all(isinstance(subjects, list) for subjects in lists):
        return
    if "subjects" in fields:
        message = "subjects and partition_subjects are both set; remove one of them"
        errors.append(SettingError(path, "conflict", message))
    fields.setdefault("partitions", len(lists))
    fields["subjects"] = [subject for subjects in lists for subject in subjects]


def _split_schema(fields: dict[str, Any], path: str, errors: list[SettingError]) -> None:
    """Replace `tables: ["a.b"]` by `schema: a` and `tables: ["b"]`."""
    tables = fields.get("tables")
    if not isinstance(tables, list) or not all(isinstance(table, str) for table in tables):
        return
    schemas = {table.rpartition(".")[0] for table in tables if "." in table}
    if not schemas:
        return
    if schema := fields.get("schema"):
        schemas.add(schema)
    if len(schemas) > 1 or not all("." in table or schema for table in tables):
        message = f"{display(tables)} names several schemas; the tables of one entry must be in one schema"
        errors.append(SettingError(f"{path}.tables", "conflict", message))
    fields["schema"] = min(schemas)
    fields["tables"] = [table.rpartition(".")[2] for table in tables]

"""
Descriptions of the settings: values in effect, JSON schema, and the reference manual. Pure.

Everything is derived from `settings`: types, defaults, and the docstring below each field, which is
read from the source, because Python does not keep it.
"""

import ast
import inspect
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from textwrap import dedent
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from eventwriter.config.durations import FOREVER, format_duration
from eventwriter.config.environment import GO_VARIABLES, OTHERS, VARIABLES
from eventwriter.config.errors import section_of
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.kinds.names import DEFAULT_SUBJECTS

HIDDEN = "**********"


def effective(section: BaseModel) -> dict[str, Any]:
    """Return settings as a file has them: its keys, durations as text, secrets as asterisks."""
    return {
        field.alias or name: _plain(getattr(section, name), name, field)
        for name, field in type(section).model_fields.items()
    }


def _plain(value: Any, name: str, field: FieldInfo) -> Any:
    if isinstance(value, BaseModel):
        return effective(value)
    if isinstance(value, SecretStr):
        return HIDDEN
    if name == "servers":
        return [re.sub(r"//.*@", f"//{HIDDEN}@", server) for server in value]
    if name == "mode":
        return f"{value:04o}"
    if isinstance(value, dict):
        return {key: _plain(item, "", field) for key, item in value.items()}
    if value is not None and is_duration(name, field):
        return format_duration(value)
    return [_plain(item, "", field) for item in value] if isinstance(value, tuple) else value


def is_duration(name: str, field: FieldInfo) -> bool:
    """Return whether a field holds seconds: its name then adds the unit to the key."""
    return name == f"{field.alias}_s"


def sections(section: type[BaseModel] = Settings) -> list[type[BaseModel]]:
    """Return a section and all sections within it, depth first."""
    within = [inner for field in section.model_fields.values() if (inner := section_of(field.annotation))]
    return [section, *(nested for inner in within for nested in sections(inner))]


@cache
def field_docstrings(section: type[BaseModel]) -> Mapping[str, str]:
    """Return the text below each field of a section, on one line."""
    [definition] = ast.parse(dedent(inspect.getsource(section))).body
    assert isinstance(definition, ast.ClassDef)
    return dict(_texts_below(definition.body))


def _texts_below(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, text in pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                yield name, " ".join(words.split())


def schema() -> dict[str, Any]:
    """Return the JSON schema of a file with our own keys."""
    result = Settings.model_json_schema(by_alias=True)
    for section in sections():
        properties = (result if section is Settings else result["$defs"][section.__name__])["properties"]
        for name, text in field_docstrings(section).items():
            properties[section.model_fields[name].alias or name]["description"] = text
    entry = result["$defs"]["StreamSettings"]
    # Loading infers the required keys of entries, and accepts shorthands.
    entry["required"] = []
    entry["anyOf"] = [{"required": ["name"]}, {"required": ["table"]}, {"required": ["tables"]}]
    for one, many in (("subject", "subjects"), ("table", "tables")):
        entry["properties"][one] = {"type": "string", "description": f"One of `{many}`."}
        entry["properties"][many] = {**entry["properties"][many], "type": ["array", "string"]}
    result["properties"]["streams"]["items"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/StreamSettings"}]}
    finite: dict[str, Any] = _without_infinity(result)
    return finite


def _without_infinity(part: Any) -> Any:
    """Return a part of the schema with the text of infinite durations, because JSON has no infinity."""
    if isinstance(part, dict):
        return {key: _without_infinity(item) for key, item in part.items()}
    if isinstance(part, list):
        return [_without_infinity(item) for item in part]
    return FOREVER if part == math.inf else part


def reference() -> str:
    """Return the reference manual of all keys and variables, in Markdown."""
    parts = [_TITLE, *_section_tables(Settings, ""), _default_entries(), _variables()]
    return "\n".join(parts).rstrip() + "\n"


_TITLE = """\
# Reference

A duration is text with a unit, such as `"30s"`, `"500ms"` or `"1m30s"`; a plain number counts seconds unless stated
otherwise. An empty default means that there is none, or that the meaning describes it.
"""


def _section_tables(section: type[BaseModel], path: str) -> Iterator[str]:
    """Yield the table of a section, then those of the sections within it."""
    title = f"`{path}`" if path else "Top level"
    within = []
    lines = [f"\n## {title}\n", " ".join((section.__doc__ or "").split()), ""]
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        key, inner = field.alias or name, section_of(field.annotation)
        if inner:
            suffix = "[]" if inner is StreamSettings else ".NAME" if get_origin(field.annotation) is dict else ""
            within.append((inner, f"{path}.{key}".strip(".") + suffix))
        text = field_docstrings(section).get(name, "")
        lines.append(f"| `{key}` | {value_type(name, field)} | {default_value(name, field)} | {_cell(text)} |")
    yield "\n".join(lines)
    for inner, inner_path in within:
        yield from _section_tables(inner, inner_path)


def value_type(name: str, field: FieldInfo) -> str:
    """Return the type of a field in words, with its bounds."""
    if is_duration(name, field):
        return "duration"
    symbols = (("ge", "≥"), ("le", "≤"))
    bounds = [f"{symbol} {getattr(m, key)}" for m in field.metadata for key, symbol in symbols if hasattr(m, key)]
    return ", ".join([_type_words(name, field.annotation), *bounds])


def _type_words(name: str, annotation: Any) -> str:
    if name == "mode":
        return "octal text"
    origin, inner = get_origin(annotation), [arg for arg in get_args(annotation) if arg is not type(None)]
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType, Annotated):
        return _type_words(name, inner[0])
    if origin is tuple:
        return "list of names or entries" if section_of(annotation) else "list of text"
    if origin is dict:
        return "name → section" if section_of(annotation) else "text → text"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {bool: "true, false", int: "number", float: "number", str: "text", SecretStr: "text (secret)"}.get(
        annotation, "text"
    )


def default_value(name: str, field: FieldInfo) -> str:
    """Return a default as a file has it; empty if the meaning describes it."""
    default = field.default
    if default is PydanticUndefined or default is None or isinstance(default, BaseModel) or default in ((), {}):
        return ""
    plain = _plain(default, name, field)
    if isinstance(plain, list):
        return ", ".join(f"`{item}`" for item in plain)
    return f"`{str(plain).lower() if isinstance(plain, bool) else plain}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default_entries() -> str:
    lines = ["\n## Names that imply subjects and kind\n", "| name | subjects | kind |", "|---|---|---|"]
    for name, subjects in DEFAULT_SUBJECTS.items():
        lines.append(f"| {name} | {', '.join(f'`{subject}`' for subject in subjects)} | {name.lower()} |")
    return "\n".join(lines)


def _variables() -> str:
    lines = ["\n## Environment\n", "An empty variable counts as not set.", "", "| variable | sets |", "|---|---|"]
    own = {name: f"`{'.'.join(path)}`" for name, path in VARIABLES.items()}
    go = {name: f"`{'.'.join(path)}`, overridden by the variables above" for name, path in GO_VARIABLES.items()}
    first = {"EVENT_WRITER_ENABLED": OTHERS["EVENT_WRITER_ENABLED"]}
    lines += [f"| `{name}` | {_cell(text)} |" for name, text in {**first, **own, **OTHERS, **go}.items()]
    return "\n".join(lines)

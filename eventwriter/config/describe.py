"""
The settings described: as shown to an operator, as JSON schema, as the reference manual. Pure.

All of it comes from `settings.py` itself: types, defaults, and the docstring below
each field, which are read from the source because Python keeps them nowhere else.
"""

import ast
import inspect
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from eventwriter.config import settings
from eventwriter.config.durations import FOREVER, shown
from eventwriter.config.environment import GO_VARIABLES, OTHERS, VARIABLES
from eventwriter.config.errors import record_in
from eventwriter.config.settings import DEFAULT_SUBJECTS, Settings, StreamSettings

HIDDEN = "**********"


def effective(record: BaseModel) -> dict[str, Any]:
    """Return settings as a file has them: keys as written, durations as text, secrets as asterisks."""
    return {
        field.alias or name: _plain(getattr(record, name), name, field)
        for name, field in type(record).model_fields.items()
    }


def _plain(value: Any, name: str, field: FieldInfo) -> Any:
    if isinstance(value, BaseModel):
        return effective(value)
    if isinstance(value, SecretStr):
        return HIDDEN
    if name == "servers":
        return [re.sub(r"//[^/]*@", f"//{HIDDEN}@", server) for server in value]
    if name == "mode":
        return f"{value:04o}"
    if isinstance(value, dict):
        return {key: _plain(one, "", field) for key, one in value.items()}
    if value is not None and is_duration(name, field):
        return shown(value)
    return [_plain(one, "", field) for one in value] if isinstance(value, tuple) else value


def is_duration(name: str, field: FieldInfo) -> bool:
    """Say whether a field holds seconds; its name then has the unit, and its key has not."""
    return _bare(field.annotation) is float and field.alias is not None and "_s" in name


def _bare(annotation: Any) -> Any:
    """Return what remains of a type like `Annotated[float, …] | None`."""
    inner = [one for one in get_args(annotation) if one is not type(None)]
    return _bare(inner[0]) if get_origin(annotation) in (Union, UnionType, Annotated) else annotation


@cache
def docstrings() -> Mapping[str, Mapping[str, str]]:
    """Return the text below each field: record → field → text on one line."""
    tree = ast.parse(inspect.getsource(settings))
    return {node.name: dict(_below(node.body)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _below(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, text in pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                yield name, " ".join(words.split())


def schema() -> dict[str, Any]:
    """Return the JSON schema of a file with our own keys."""
    found = Settings.model_json_schema(by_alias=True)
    for record, texts in docstrings().items():
        part = found if record == "Settings" else found.get("$defs", {}).get(record)
        for name, text in texts.items() if part else ():
            key = vars(settings)[record].model_fields[name].alias or name
            part["properties"][key]["description"] = text
    entry = found["$defs"]["StreamSettings"]
    # What loading fills in is not required of the file; its shorthands are allowed there.
    entry["required"] = []
    entry["anyOf"] = [{"required": ["name"]}, {"required": ["table"]}, {"required": ["tables"]}]
    for one, many in (("subject", "subjects"), ("table", "tables")):
        entry["properties"][one] = {"type": "string", "description": f"One of `{many}`."}
        entry["properties"][many] = {**entry["properties"][many], "type": ["array", "string"]}
    found["properties"]["streams"]["items"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/StreamSettings"}]}
    endless: dict[str, Any] = _spoken(found)
    return endless


def _spoken(part: Any) -> Any:
    """Return a part of the schema with the word for what has no end, because JSON has no number for it."""
    if isinstance(part, dict):
        return {key: _spoken(one) for key, one in part.items()}
    if isinstance(part, list):
        return [_spoken(one) for one in part]
    return FOREVER if part == math.inf else part


def reference() -> str:
    """Return the manual of all keys and variables, in Markdown."""
    parts = [_TITLE, *_sections(Settings, ""), _entry_defaults(), _variables()]
    return "\n".join(parts).rstrip() + "\n"


_TITLE = """\
# Reference

A duration is text with a unit, `"30s"`, `"500ms"`, `"1m30s"`; a plain number counts seconds unless said otherwise.
Where the default is empty, there is none, or the meaning says what it follows from.
"""


def _sections(record: type[BaseModel], path: str) -> Iterator[str]:
    """Yield a table for one record, then those of the records within it."""
    title = f"`{path}`" if path else "Top level"
    within = []
    lines = [f"\n## {title}\n", " ".join((record.__doc__ or "").split()), ""]
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in record.model_fields.items():
        key, inner = field.alias or name, record_in(field.annotation)
        if inner:
            named = ".NAME" if get_origin(field.annotation) is dict else ""
            within.append((inner, f"{path}.{key}".strip(".") + ("[]" if inner is StreamSettings else named)))
        text = docstrings()[record.__name__].get(name, "")
        lines.append(f"| `{key}` | {value_of(name, field)} | {default_of(name, field)} | {_cell(text)} |")
    yield "\n".join(lines)
    for inner, inner_path in within:
        yield from _sections(inner, inner_path)


def value_of(name: str, field: FieldInfo) -> str:
    """Say in words what a field holds, with its bounds."""
    if is_duration(name, field):
        return "duration"
    bounds = (("ge", "≥"), ("le", "≤"))
    said = [f"{word} {getattr(m, sign)}" for m in field.metadata for sign, word in bounds if hasattr(m, sign)]
    return ", ".join([_words(name, field.annotation), *said])


def _words(name: str, annotation: Any) -> str:
    if name == "mode":
        return "octal text"
    origin, inner = get_origin(annotation), [one for one in get_args(annotation) if one is not type(None)]
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in (Union, UnionType, Annotated):
        return _words(name, inner[0])
    if origin is tuple:
        return "list of names or entries" if record_in(annotation) else "list of text"
    if origin is dict:
        return "name → section" if record_in(annotation) else "text → text"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {bool: "true, false", int: "number", float: "number", str: "text", SecretStr: "text (secret)"}.get(
        annotation, "text"
    )


def default_of(name: str, field: FieldInfo) -> str:
    """Write a default as a file has it; empty where the meaning says what follows from what."""
    default = field.default
    if default is PydanticUndefined or default is None or isinstance(default, BaseModel) or default in ((), {}):
        return ""
    plain = _plain(default, name, field)
    if isinstance(plain, list):
        return ", ".join(f"`{one}`" for one in plain)
    return f"`{str(plain).lower() if isinstance(plain, bool) else plain}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _entry_defaults() -> str:
    lines = ["\n## Names that bring their subjects along\n", "| name | subjects | kind |", "|---|---|---|"]
    for name, subjects in DEFAULT_SUBJECTS.items():
        lines.append(f"| {name} | {', '.join(f'`{subject}`' for subject in subjects)} | {name.lower()} |")
    return "\n".join(lines)


def _variables() -> str:
    lines = ["\n## Environment\n", "An empty variable counts as not set.", "", "| variable | sets |", "|---|---|"]
    own = {name: f"`{'.'.join(path)}`" for name, path in VARIABLES.items()}
    go = {name: f"`{'.'.join(path)}`, below the above" for name, path in GO_VARIABLES.items()}
    first = {"EVENT_WRITER_ENABLED": OTHERS["EVENT_WRITER_ENABLED"]}
    lines += [f"| `{name}` | {_cell(text)} |" for name, text in {**first, **own, **OTHERS, **go}.items()]
    return "\n".join(lines)

"""Base class of all settings, and the types of fields that several sections use."""

import contextlib
import datetime as dt
import math
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from eventwriter.config import durations, subjects
from eventwriter.config.durations import parse_duration
from eventwriter.errors import Fatal

MiB = 1024 * 1024
HOUR_S, DAY_S = 3600.0, 86400.0


class Record(BaseModel):
    """
    Base class of all sections: immutable, unknown keys are errors.

    A field is named like its key in the file. A duration's key has no unit, because its value has
    one ("30s"); the field's name adds `_s` to it, as it holds seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


_DURATION = WithJsonSchema(
    {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": durations.PATTERN}]}
)
Seconds = Annotated[float, BeforeValidator(lambda value: parse_duration(value, 1.0)), Field(gt=0), _DURATION]
"""Duration above zero; a plain number counts seconds."""
Millis = Annotated[float, BeforeValidator(lambda value: parse_duration(value, 1e-3)), Field(gt=0), _DURATION]
"""Duration above zero, stored in seconds; a plain number counts milliseconds, as in the earlier writers' files."""


def _retention(value: object) -> float:
    return math.inf if value == durations.FOREVER else parse_duration(value, 1.0)


Retention = Annotated[
    float,
    BeforeValidator(_retention),
    Field(gt=0),
    WithJsonSchema(
        {"anyOf": [_DURATION.json_schema or {}, {"const": durations.FOREVER}], "default": durations.FOREVER}
    ),
]
"""Duration above zero, or the word `forever`, which is stored as infinity."""


def _whole_hours(duration_s: float) -> float:
    if duration_s < HOUR_S or duration_s % HOUR_S:
        raise ValueError('not a multiple of one hour; write whole hours or days, like "6h" or "1d"')
    return duration_s


WholeHours = Annotated[
    float, BeforeValidator(lambda value: parse_duration(value, 1.0)), AfterValidator(_whole_hours), _DURATION
]
"""Duration of whole hours: the time that one partition of a table spans."""

_INSTANT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"


def _instant(value: object) -> object:
    """Check an instant from TOML or JSON; it stays text, because NATS counts nanoseconds and datetime does not."""
    text = value.isoformat() if isinstance(value, dt.datetime) else value
    if isinstance(text, str) and re.match(_INSTANT, text):
        with contextlib.suppress(ValueError):  # a month or an hour that does not exist
            dt.datetime.fromisoformat(text)
            return text
    raise ValueError('not a time with a time zone (RFC 3339), like "2026-11-25T10:00:00Z"')


Instant = Annotated[str, BeforeValidator(_instant), WithJsonSchema({"type": "string", "pattern": _INSTANT})]
"""Instant in the form of RFC 3339, with up to nine decimal places."""


def _subject(subject: str) -> str:
    if problem := subjects.problem(subject):
        raise ValueError(f"not a valid subject: {problem}")
    return subject


Subject = Annotated[str, AfterValidator(_subject)]
"""NATS subject, or a pattern with the wildcards `*` and `>`."""

NATS_NAME = r"^[^\s.*>/\\]+$"
NatsName = Annotated[str, Field(pattern=NATS_NAME)]
"""Name of a JetStream stream or durable: no white space, dot, star, angle bracket, slash or backslash."""


_NKEY_SEED = re.compile(r"S[A-Z2-7]{50,}")


def _secret_path(text: str) -> str:
    if "\n" in text or "-----BEGIN" in text or _NKEY_SEED.fullmatch(text.strip()):
        raise ValueError("a secret, not the path of a file; write the secret to a file, and set its path")
    return text


SecretPath = Annotated[str, AfterValidator(_secret_path)]
"""Path of a file with a secret; the secret itself is refused."""


def display_path(path: str) -> str:
    """Return a secret's path for messages; text that does not look like a path may be the secret, and is hidden."""
    return path if path.startswith(("/", "./", "../")) else "the file (name hidden, as it may be a secret)"


def read_secret(path: str, key: str) -> str:
    """
    Return the content of a secret's file, without surrounding white space.

    Args:
        path: The file.
        key: The setting that names the file, for the error message.

    Raises:
        Fatal: The file cannot be read, or is empty.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Fatal(
            f"{key}: cannot read {display_path(path)}: {reason}",
            code="secret_unreadable",
            hint="check the path and its permissions",
        ) from error
    if not text:
        raise Fatal(
            f"{key}: {display_path(path)} is empty", code="secret_unreadable", hint="write the secret into the file"
        )
    return text

"""A row's values as plain JSON would hold them: what builders made for COPY, put back into readable form. Pure."""

from typing import Any

import orjson

from eventwriter.postgres.schema.conversions import elements, instant_text, uuid_text


def shown(value: Any, sql_type: str) -> Any:
    """Return a row's value as plain JSON would hold it."""
    if value is None:
        return None
    match sql_type:
        case "timestamptz":
            return instant_text(value)
        case "uuid":
            return uuid_text(value)
        case "jsonb":
            return orjson.loads(value[1:])
        case "int4[]" | "text[]":
            return elements(value)
    return f"\\x{value.hex()}" if isinstance(value, bytes) else value

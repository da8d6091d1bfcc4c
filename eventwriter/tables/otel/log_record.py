"""
What a log record of any shape says: each field has several names, and what no field takes is kept as attribute.

`log_reader` has a shorter way for the shape that nearly all records have.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.fields import find, names, text
from eventwriter.formats.json import loads_clean
from eventwriter.formats.severity import is_word, known_number, level_number
from eventwriter.formats.severity import name as severity_name
from eventwriter.formats.snmp_trap import message_of
from eventwriter.model import Record
from eventwriter.tables.ids import parse_uuid

HOST = ("host", "hostname")

_TIME = ("timestamp", "time", "ts", "@timestamp", *names("time_unix_nano"))
_OBSERVED = (*names("observed_timestamp"), *names("observed_time_unix_nano"))
_TRACE_ID, _SPAN_ID, _EVENT_NAME = names("trace_id"), names("span_id"), names("event_name")
_FLAGS = names("trace_flags", "flags")
_NUMBER, _SEVERITY_TEXT, _LEVELS = names("severity_number"), names("severity_text"), ("severity", "level")
_ANY_BODY = ("message", "msg")
_TEXT_BODY = (*_ANY_BODY, "summary", *names("short_message"), "event", "log")
_SERVICE = names("service_name", "service.name", "service")
_VERSION = names("service_version", "service.version")
_INSTANCE = names("service_instance", "service.instance.id", *names("service_instance_id"))
_RESOURCE = names("resource_attributes", "resource")
_SENDER = (*HOST, "remote_addr", "source", "ip", "ip_address")
"""Fields that stand for the resource where the record gives none."""
_SCOPE_NAME, _SCOPE_VERSION, _SCOPE_ATTRIBUTES = (names(f"scope_{part}") for part in ("name", "version", "attributes"))
_CLASS = names("class_uid")
_WAF_FINDING = "waf.finding"


class Log(NamedTuple):
    """The fields of one log record; the text ones in their columns' form, from `trace_id` on in the table's order."""

    timestamp: Any
    """As given; the observed time where the record has no time of its own."""
    observed: Any
    given_id: str | None
    """An id that the record gives, where it counts as one: a UUID, or that of an OCSF event."""
    trace_id: str | None
    span_id: str | None
    trace_flags: Any
    severity_text: str | None
    severity_number: int | None
    body: str
    event_name: str | None
    source: str | None
    service_name: str | None
    service_version: str | None
    service_instance: str | None
    scope_name: str | None
    scope_version: str | None
    scope_attributes: dict[str, Any] | None
    attributes: dict[str, Any] | None
    resource_attributes: dict[str, Any] | None


def search(record: Record, subject: str, named_source: str | None) -> Log:
    """
    Read a record of any shape.

    Args:
        subject: The message's; the body of a record that has none.
        named_source: The source that the subject names.
    """
    # Each field takes what is its own out of `left`; the rest are attributes.
    left = {key: value for key, value in record.items() if value is not None}
    given_id = _given_id(left)
    observed = _take(left, _OBSERVED)
    timestamp = _take(left, _TIME) or observed
    own_source = left.get("source")
    service = _take_text(left, _SERVICE) or _first_text(left, HOST)
    said = _take(left, _SEVERITY_TEXT, _is_severity_text)
    word, number = severity(_take(left, _NUMBER), [said, *(_take(left, (key,), _is_level) for key in _LEVELS)])
    body = _body(left)
    scope, scope_version, scope_attributes = _scope(left)
    ids = text(_take(left, _TRACE_ID)), text(_take(left, _SPAN_ID))
    flags, event = _take(left, _FLAGS, _is_flags), text(_take(left, _EVENT_NAME))
    version, instance = _take_text(left, _VERSION), _take_text(left, _INSTANCE)
    resource = _resource(left)
    attributes = _attributes(left)
    named = resource or {}
    return Log(
        timestamp,
        observed,
        given_id,
        *ids,
        flags,
        word,
        number,
        subject if body is None else body,
        event,
        _source(own_source, named_source, event, attributes),
        service or _first_text(named, ("service.name",)),
        version or _first_text(named, ("service.version",)),
        instance or _first_text(named, ("service.instance.id",)),
        scope,
        scope_version,
        scope_attributes,
        attributes,
        resource,
    )


def severity(number: Any, levels: Sequence[Any]) -> tuple[str | None, int | None]:
    """
    Return severity text and number.

    Args:
        number: A severity number as given; one of 1 to 24 is kept.
        levels: The severity's text, whatever it is; then words or numeric levels, the most telling first.

    Returns:
        The first word as given, else the number's name; the given number, else that of the first
        level that is known. None where nothing says it.
    """
    given = levels[0]
    word = given if given.__class__ is str and not _is_blank(given) else next(filter(is_word, levels), None)
    known = known_number(number)
    if known is None:
        known = next((found for level in levels if (found := level_number(level)) is not None), None)
    return word if word is not None or known is None else severity_name(known), known


def _is_level(value: Any) -> bool:
    return is_word(value) or level_number(value) is not None


def _is_severity_text(value: Any) -> bool:
    return _is_level(value) or (value.__class__ is str and not _is_blank(value))


def _is_flags(value: Any) -> bool:
    return value.__class__ in (int, float) or (value.__class__ is str and value.isascii() and value.isdigit())


def _take(left: Record, keys: Sequence[str], fits: Callable[[Any], bool] = lambda _: True) -> Any:
    """Take the first of a field's names whose value fits out of `left`, with the others that say the same."""
    for key in keys:
        if key in left and fits(left[key]):
            value = left[key]
            for same in keys:
                if same in left and left[same] == value:
                    del left[same]
            return value
    return None


def _is_text(value: Any) -> bool:
    return not _is_blank(value) and value.__class__ in (str, int, float, bool)


def _is_blank(value: Any) -> bool:
    return value.__class__ is str and (not value or value.isspace())


def _take_text(left: Record, keys: Sequence[str]) -> str | None:
    return text(_take(left, keys, _is_text))


def _first_text(fields: Record, keys: Sequence[str]) -> str | None:
    return next((text(fields[key]) for key in keys if key in fields and _is_text(fields[key])), None)


def _given_id(left: Record) -> str | None:
    """Return an id that is a UUID, or that of an OCSF event; what others call `id` is not the record's."""
    value = left.get("id")
    if value.__class__ is not str or not value:
        return None
    if parse_uuid(value):
        return left.pop("id")  # type: ignore[no-any-return]
    return value if find(left, _CLASS) is not None else None


def _body(left: Record) -> str | None:
    """Take the body: `body` whatever it is, else the first name that has text, else what a trap's varbinds say."""
    for key in ("body", *_TEXT_BODY):
        value = left.get(key)
        if value.__class__ is list and (characters := _characters(value)):
            value = characters
        elif not _is_body(key, value):
            continue
        del left[key]
        found = text(value)
        for other in _TEXT_BODY:
            if left.get(other) == found:
                del left[other]
        return found
    found = text(_take(left, _ANY_BODY, bool))
    return found if found is not None else message_of(left.get("varbinds"))


def _is_body(key: str, value: Any) -> bool:
    if value.__class__ is str:
        return not _is_blank(value)
    if value.__class__ in (dict, list):
        return key == "body" and bool(value)
    return value is not None and (key == "body" or key in _ANY_BODY)


def _characters(codes: list[Any]) -> str | None:
    """Return text that is given as a list of ASCII codes, as Erlang's loggers do; None for any other list."""
    if all(code.__class__ is int and (32 <= code < 127 or code in (9, 10, 13)) for code in codes):
        return "".join(map(chr, codes)).strip() or None
    return None


def _mapping(value: Any) -> dict[str, Any] | None:
    """Return attributes given as an object, as its JSON text, or as `k=v,k=v`; None for anything else."""
    if value.__class__ is dict:
        return value
    if value.__class__ is not str or not value.strip():
        return None
    try:
        found = loads_clean(value)
    except ValueError:
        pairs = [pair.partition("=") for pair in value.split(",")]
        if not all(key.strip() and equals for key, equals, _ in pairs):
            return None
        return {key.strip(): word.strip() for key, _, word in pairs}
    return found if found.__class__ is dict else None


def _take_mapping(left: Record, keys: Sequence[str]) -> dict[str, Any] | None:
    for key in keys:
        if (found := _mapping(left.get(key))) is not None:
            for same in keys:
                if same == key or left.get(same) == found:
                    left.pop(same, None)
            return found
    return None


def _scope(left: Record) -> tuple[str | None, str | None, dict[str, Any] | None]:
    """Take name, version and attributes of the scope: each of its own field, else of `scope`, an object or a name."""
    given = _take(left, ("scope",), lambda value: value.__class__ is dict or _is_text(value))
    inner = given if given.__class__ is dict else {"name": given}
    name, version = _take_text(left, _SCOPE_NAME), _take_text(left, _SCOPE_VERSION)
    attributes = _take_mapping(left, _SCOPE_ATTRIBUTES)
    return (
        name or text(inner.get("name")),
        version or text(inner.get("version")),
        attributes if attributes is not None else _mapping(inner.get("attributes")),
    )


def _resource(left: Record) -> dict[str, Any] | None:
    """Take the resource; where there is none, the fields that say who sent the record stand for it."""
    found = _take_mapping(left, _RESOURCE)
    if found is not None:
        return found
    return {key: left.pop(key) for key in _SENDER if key in left and not _is_blank(left[key])} or None


def _attributes(left: Record) -> dict[str, Any] | None:
    """Return the attributes, and among them all that no field took; the payload's own win."""
    own = _take_mapping(left, ("attributes",))
    rest = {key: value for key, value in left.items() if not _is_blank(value)}
    return {**rest, **own} if own is not None else rest or None


def _source(given: Any, named: str | None, event: str | None, attributes: dict[str, Any] | None) -> str | None:
    """Return the source that the subject names, else the record's own; a firewall's findings have their own first."""
    own = text(given) if _is_text(given) else None
    kind = event if event is not None else (attributes or {}).get("event_type")
    return (own or named) if kind == _WAF_FINDING else (named or own)


_SOURCES = ("syslog", "snmp", "otel", "internal")

_FLAT = frozenset(
    {
        "timestamp", "observed_time_unix_nano", "severity_number", "severity_text", "body", "attributes",
        "resource_attributes", "resource", "service_name", "service_version", "service_instance", "scope_name",
        "scope", "scope_version", "scope_attributes", "trace_id", "span_id", "trace_flags", "event_name",
    }
)  # fmt: skip
"""The keys of flat records."""

_log_of: Callable[[type[Log], tuple[Any, ...]], Log] = tuple.__new__
"""Makes a Log of a tuple in a third of the time of the class's own constructor."""


def log_reader() -> Callable[[Record, str], Log]:
    """Return the function (record without secrets, its message's subject → its fields)."""
    sources = BoundedCache(_source_of)

    def read(record: Record, subject: str) -> Log:
        # Hot: once per record. A flat record whose fields are of their usual types is taken as it is.
        get = record.get
        number, word = get("severity_number"), get("severity_text")
        body, resource, attributes = get("body"), get("resource_attributes"), get("attributes")
        trace_id, span_id, event, service = get("trace_id"), get("span_id"), get("event_name"), get("service_name")
        version, instance = get("service_version"), get("service_instance")
        scope, scope_version, scope_attributes = get("scope_name"), get("scope_version"), get("scope_attributes")
        if not (
            _FLAT.issuperset(record)
            and body.__class__ is str and body and not body.isspace()
            and (attributes is None or attributes.__class__ is dict)
            and (resource is None or resource.__class__ is dict)
            and (service is None or service.__class__ is str)
            and (trace_id is None or trace_id.__class__ is str)
            and (span_id is None or span_id.__class__ is str)
            and (event is None or event.__class__ is str)
            and (version is None or version.__class__ is str)
            and (instance is None or instance.__class__ is str)
            and (scope is None or scope.__class__ is str)
            and (scope_version is None or scope_version.__class__ is str)
            and (scope_attributes is None or scope_attributes.__class__ is dict)
            and (get("resource") is None or get("resource") == resource)
            and (get("scope") is None or get("scope") == scope)
            and service and resource is not None
        ):  # fmt: skip
            return search(record, subject, sources[subject])
        if not (number.__class__ is int and 0 < number < 25 and word.__class__ is str and word and not word.isspace()):
            word, number = severity(number, (word,))
        return _log_of(
            Log,
            (
                get("timestamp") or get("observed_time_unix_nano"), get("observed_time_unix_nano"), None, trace_id,
                span_id, get("trace_flags"), word, number, body, event, sources[subject], service, version or None,
                instance or None, scope or None, scope_version or None, scope_attributes, attributes, resource,
            ),
        )  # fmt: skip

    return read


def _source_of(subject: str) -> str | None:
    """Return the source that a subject of logs names: its second token, or a known word anywhere in it."""
    tokens = subject.split(".")
    if tokens[0] == "logs" and len(tokens) > 1:
        return tokens[1]
    return next((word for word in _SOURCES if word in subject), None)

"""
The fields of a log record of any form. Each field has several names; what no field takes becomes an attribute.

Besides flat records, the names of these programs are known: GELF, syslog-ng, the systemd journal, falcosidekick,
Google Cloud Logging, Serilog, Suricata (EVE), pino, bunyan, winston, zap, log/slog, loguru, python-json-logger,
log4j and the Elastic Common Schema. `log_reader` reads flat records, which are by far the most frequent, faster.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.fields import INT4, find, hex_id, instant_us, is_blank, names, text, whole
from eventwriter.formats.json import clean_text, loads_clean
from eventwriter.formats.severity import is_word, known_number, level_number, python_level_number
from eventwriter.formats.severity import name as severity_name
from eventwriter.formats.snmp_trap import message_of
from eventwriter.model import Adjustments, Record
from eventwriter.tables.ids import parse_uuid
from eventwriter.tables.record_reader import PathReader, with_rest
from eventwriter.tables.values import LATEST_NS, NANOSECONDS_FROM

HOST = ("host", "hostname", "HOST", "_HOSTNAME")

_TIME = ("timestamp", "time", "ts", "@timestamp", *names("time_unix_nano"))
_OTHER_TIME = (
    "@t", "Timestamp", "asctime", "ISODATE", "_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP", "datetime",
    "date", *names("event_time"), "timeMillis", "instant", "record.time.timestamp", "record.time.repr",
)  # fmt: skip
_OBSERVED = (*names("observed_timestamp"), *names("observed_time_unix_nano"), "receiveTimestamp")
_TRACE_ID = names("trace_id", "TraceId", "TraceID", "trace.id", "@tr")
_SPAN_ID = names("span_id", "SpanId", "SpanID", "span.id", "@sp")
_EVENT_NAME, _FLAGS = names("event_name"), names("trace_flags", "flags")
_NUMBER = names("severity_number", "SeverityNumber")
_SEVERITY_TEXT = names("severity_text", "SeverityText")
_LEVELS = (
    "severity", "level", "levelname", "level_name", "log.level", *names("log_level"), "loglevel", "lvl", "priority",
    "record.level.name", "@l", "Level", "LEVEL", "PRIORITY", "SEVERITY", "LogLevel",
)  # fmt: skip
"""Names whose values are words or numeric levels, the most specific first."""
_PYTHON_LEVELS = ("levelno", "record.level.no")
_BODY = (
    "message", "msg", "summary", *names("short_message"), "event", "log", "record.message", "textPayload",
    "jsonPayload.message", "jsonPayload.msg", "MESSAGE", "Message", "@m", "RenderedMessage", *names("full_message"),
    "output", "@mt", "MessageTemplate", "alert.signature", "engine.message", *names("event_message"), "text",
    "error.message",
)  # fmt: skip
"""Names of which the first one with text is the body, after `body` itself."""
_ANY_BODY = ("message", "msg", "MESSAGE", "Message")
"""Names whose value is the body even if it is a number or a boolean."""
_OBJECT_BODY = ("jsonPayload", "protoPayload")
_LAST_BODY, _SURICATA_KEYS = ("event_type",), ("flow_id", "src_ip", "stats")
_SERVICE = names("service_name", "service.name", "service")
_PROGRAM = ("SYSLOG_IDENTIFIER", "PROGRAM")
_VERSION = names("service_version", "service.version")
_INSTANCE = names("service_instance", "service.instance.id", *names("service_instance_id"))
_RESOURCE = names("resource_attributes", "resource")
_SENDER = ("host", "hostname", "remote_addr", "source", "ip", "ip_address", "HOST", "_HOSTNAME")
"""Fields that form the resource of a record that has none."""
_SCOPE_NAME, _SCOPE_VERSION, _SCOPE_ATTRIBUTES = (names(f"scope_{part}") for part in ("name", "version", "attributes"))
_CLASS = names("class_uid")
_WAF_FINDING = "waf.finding"
_SURICATA = {1: 17, 2: 13, 3: 9, 4: 9}
"""Severity of an alert of Suricata, from 1 (high) → severity number."""
_INFO = 9
_TRACE = 1


class Log(NamedTuple):
    """The fields of one log record. Text has the form of its column; from `trace_id` on the order is the table's."""

    timestamp: Any
    """The time of the payload; the observed time if the record has no readable time of its own."""
    observed: Any
    given_id: str | None
    """The id of the record, if it is a UUID or belongs to an OCSF event."""
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


def search(record: Record, subject: str, named_source: str | None, adjustments: Adjustments) -> Log:
    """
    Read a record of any form.

    Args:
        subject: Subject of the message; it is the body of a record that has none.
        named_source: The source that the subject names.
    """
    # Each field takes its value out of the reader; the rest becomes attributes.
    reader = PathReader(record, adjustments)
    given_id = _given_id(reader.rest)
    observed = reader.first("observed_timestamp", _OBSERVED, _instant)
    unreadable = next((value for key in _TIME if (value := reader.rest.get(key))), None)
    timestamp = reader.first("timestamp", _TIME, _instant)
    if timestamp is None:
        timestamp = reader.first(None, _OTHER_TIME, _instant)
    own_source = reader.rest.get("source")
    service = reader.first(None, _SERVICE, _word) or _first_text(reader, (*_PROGRAM, *HOST, "host.name"))
    word, number = _severity(reader)
    trace_id, span_id = _id(reader, _TRACE_ID) or _google_trace(reader), _id(reader, _SPAN_ID)
    body = _body(reader)
    scope, scope_version, scope_attributes = _scope(reader)
    flags = reader.integer("trace_flags", _FLAGS, INT4)
    event = reader.first(None, _EVENT_NAME, _filled)
    version, instance = reader.first(None, _VERSION, _word), reader.first(None, _INSTANCE, _word)
    resource = _resource(reader)
    attributes = _attributes(reader)
    named = resource or {}
    if timestamp is None:
        timestamp = observed if observed is not None else unreadable
    return Log(
        timestamp,
        observed,
        given_id,
        trace_id,
        span_id,
        flags,
        word,
        number,
        subject if body is None else body,
        event,
        _source(own_source, named_source, event, attributes),
        service or _text_of(named, "service.name"),
        version or _text_of(named, "service.version"),
        instance or _text_of(named, "service.instance.id"),
        scope,
        scope_version,
        scope_attributes,
        attributes,
        resource,
    )


def _instant(value: Any) -> Any:
    return value if instant_us(value) is not None else None


def _filled(value: Any) -> str | None:
    return None if is_blank(value) else text(value)


def _word(value: Any) -> str | None:
    """Return a scalar as text; None for blank text, objects and arrays."""
    return text(value) if _is_text(value) else None


def _is_text(value: Any) -> bool:
    return not is_blank(value) and value.__class__ in (str, int, float, bool)


def _first_text(reader: PathReader, keys: Sequence[str]) -> str | None:
    return next((found for key in keys if (found := _word(reader.value(key))) is not None), None)


def _text_of(fields: Record, key: str) -> str | None:
    return _word(fields.get(key))


def _given_id(left: Record) -> str | None:
    """Return an id that is a UUID or belongs to an OCSF event; other fields called `id` are attributes."""
    value = left.get("id")
    if value.__class__ is not str or not value:
        return None
    if parse_uuid(value):
        return left.pop("id")  # type: ignore[no-any-return]
    return value if find(left, _CLASS) is not None else None


def _id(reader: PathReader, keys: Sequence[str]) -> str | None:
    """Take the identifier of a trace or span; zeros mean that there is none."""
    for key in keys:
        value = reader.value(key)
        if value.__class__ is str and not value.strip().lower().removeprefix("0x").strip("0"):
            reader.take(key, value)
    return reader.first(None, keys, lambda value: hex_id(value) if _is_text(value) else None)  # type: ignore[no-any-return]


def _google_trace(reader: PathReader) -> str | None:
    """Take the trace id of Google Cloud Logging, `projects/NAME/traces/ID`; the project remains."""
    for key in ("trace", "logging.googleapis.com/trace"):
        value = reader.rest.get(key)
        if value.__class__ is str and "/traces/" in value:
            project, _, trace_id = value.rpartition("/traces/")
            reader.rest[key] = project
            return hex_id(trace_id)
    return None


def _severity(reader: PathReader) -> tuple[str | None, int | None]:
    """Take severity text and number: the payload's own, each completed from the other or from a level."""
    number = reader.first("severity_number", _NUMBER, known_number)
    own_text = reader.first(None, _SEVERITY_TEXT, lambda value: value if is_word(value) else None)
    found = [(key, value) for key in (*_SEVERITY_TEXT, *_LEVELS) if (value := reader.value(key)) is not None]
    word = own_text
    if word is None:
        word = next((value for _, value in found if is_word(value)), None)
    for key, value in found:
        if word is not None and value == word and reader.value(key) is not None:
            reader.take(key, value)
    if number is None and word is not None:
        number = _TRACE if word.lower() == "verbose" and _is_serilog(reader) else level_number(word)
    if number is None:
        number = _number_of_level(reader, found, word is None)
    if number is None and word is None and _is_serilog(reader):
        number = _INFO
    if word is None and number is None:
        unknown = next(((key, value) for key, value in found if _is_text_level(value)), None)
        if unknown is None:
            return None, None
        reader.take(*unknown, _LEVELS)
        return unknown[1], None
    return word if word is not None or number is None else severity_name(number), number


def _number_of_level(reader: PathReader, found: Sequence[tuple[str, Any]], is_only_severity: bool) -> int | None:
    """Return the number of the first known level. It is taken unless the record has a severity text too."""
    for key, value in found:
        if (number := level_number(value, is_google=key == "severity")) is not None:
            if is_only_severity:
                reader.take(key, value)
            return number
        if not _is_text_level(value):
            reader.count_unreadable("severity_number")
    for key in _PYTHON_LEVELS:
        if (number := python_level_number(value := reader.value(key))) is not None:
            if is_only_severity:
                reader.take(key, value)
            return number
    alert = reader.rest.get("alert")
    return _SURICATA.get(whole(alert.get("severity")) or 0) if alert.__class__ is dict else None


def _is_text_level(value: Any) -> bool:
    return value.__class__ is str and bool(value.strip()) and whole(value) is None


def _is_serilog(reader: PathReader) -> bool:
    """Return whether a record is Serilog's, in which a missing level means Information and Verbose is the lowest."""
    rest = reader.rest
    return ("@t" in rest or "@m" in rest or "@mt" in rest or "MessageTemplate" in rest) and "level" not in rest


def _body(reader: PathReader) -> str | None:
    """Take the body: `body` of any type, else the first name that has text, else the text of a trap's varbinds."""
    for key in ("body", *_BODY):
        value = reader.value(key)
        if value.__class__ is list and (characters := _characters(key, value)):
            value = characters
        elif not _is_body(key, value):
            continue
        return _take_body(reader, key, value)
    if (varbinds := message_of(reader.rest.get("varbinds"))) is not None:
        return varbinds
    for key in _OBJECT_BODY:
        if (value := reader.rest.get(key)).__class__ is dict and value:
            return _take_body(reader, key, value)
    return _first_text(reader, _LAST_BODY) if any(key in reader.rest for key in _SURICATA_KEYS) else None


def _take_body(reader: PathReader, key: str, value: Any) -> str | None:
    reader.take(key, reader.value(key))
    body = text(value)
    for other in _BODY:
        found = reader.value(other)
        if found.__class__ is str and found == body:
            reader.take(other, found)
    if key == "record.message":
        _drop_formatted_text(reader, body)
    return body


def _drop_formatted_text(reader: PathReader, message: str | None) -> None:
    """Drop loguru's `text`, the line that it would print, if it adds nothing to the message."""
    line = reader.rest.get("text")
    if line.__class__ is str and message is not None and line.strip() == message.strip():
        del reader.rest["text"]


def _is_body(key: str, value: Any) -> bool:
    if value.__class__ is str:
        return not is_blank(value)
    if value.__class__ in (dict, list):
        return key == "body" and bool(value)
    return value is not None and (key == "body" or key in _ANY_BODY)


def _characters(key: str, codes: list[Any]) -> str | None:
    """
    Return text that is given as a list of character codes; None for any other list.

    Erlang's loggers write ASCII codes. The journal writes the bytes of a `MESSAGE` that is not printable UTF-8.
    """
    if key == "MESSAGE":
        if codes and all(code.__class__ is int and 0 <= code <= 255 for code in codes):
            return clean_text(bytes(codes).decode("utf-8", "replace"))
        return None
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
        parsed = loads_clean(value)
    except ValueError:
        return _key_values(value)
    return parsed if parsed.__class__ is dict else None


def _key_values(value: str) -> dict[str, Any] | None:
    pairs = [pair.partition("=") for pair in value.split(",")]
    if not all(key.strip() and equals for key, equals, _ in pairs):
        return None
    mapping = {key.strip(): word.strip() for key, _, word in pairs}
    return mapping if len(mapping) == len(pairs) else None


def _take_mapping(reader: PathReader, keys: Sequence[str]) -> dict[str, Any] | None:
    for key in keys:
        if (found := _mapping(reader.rest.get(key))) is not None:
            del reader.rest[key]
            for other in keys:
                if other in reader.rest and _mapping(reader.rest[other]) == found:
                    del reader.rest[other]
            return found
    return None


def _scope(reader: PathReader) -> tuple[str | None, str | None, dict[str, Any] | None]:
    """Take name, version and attributes of the scope: each from its own field, else from `scope`."""
    name, version = reader.first(None, _SCOPE_NAME, _word), reader.first(None, _SCOPE_VERSION, _word)
    attributes = _take_mapping(reader, _SCOPE_ATTRIBUTES)
    if reader.rest.get("scope").__class__ is dict:
        name = name or reader.first(None, ("scope.name",), _word)
        version = version or reader.first(None, ("scope.version",), _word)
        if attributes is None and (attributes := _mapping(reader.value("scope.attributes"))) is not None:
            reader.take("scope.attributes", reader.value("scope.attributes"))
    elif name is None or name == reader.rest.get("scope"):
        name = reader.first(None, ("scope",), _word) or name
    return name, version, attributes


def _resource(reader: PathReader) -> dict[str, Any] | None:
    """Take the resource; without one, the fields that identify the sender form it."""
    found = _take_mapping(reader, _RESOURCE)
    if found is not None:
        return found
    rest = reader.rest
    taken = {key: rest[key] for key in _SENDER if key in rest and not is_blank(rest[key])}
    if taken.get("source").__class__ is dict:
        del taken["source"]  # log/slog: the position in the source code
    for key in taken:
        del rest[key]
    return taken or None


def _attributes(reader: PathReader) -> dict[str, Any] | None:
    """Return the attributes, with the fields that were not taken; the payload's own attributes keep their names."""
    own = _take_mapping(reader, ("attributes",))
    rest = {key: value for key, value in reader.rest.items() if not is_blank(value)}
    return with_rest(own, rest, "attributes")  # type: ignore[no-any-return]


def _source(given: Any, named: str | None, event: str | None, attributes: dict[str, Any] | None) -> str | None:
    """Return the source that the subject names, else the record's; for a firewall's findings, the record's first."""
    own = _word(given)
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
"""Keys of flat records."""
_TRACE_ID_DIGITS, _SPAN_ID_DIGITS = 32, 16

_new_log: Callable[[type[Log], tuple[Any, ...]], Log] = tuple.__new__
"""Creates a Log from a tuple in a third of the time of the class's constructor."""


def log_reader(adjustments: Adjustments) -> Callable[[Record, str], Log]:
    """Return the function (record without secrets, subject of its message) → fields."""
    sources = BoundedCache(_source_of)

    def read(record: Record, subject: str) -> Log:
        # Hot: once per record. A flat record whose fields have their usual types is taken as it is.
        get = record.get
        time, observed = get("timestamp"), get("observed_time_unix_nano")
        number, word, flags = get("severity_number"), get("severity_text"), get("trace_flags")
        body, resource, attributes = get("body"), get("resource_attributes"), get("attributes")
        trace_id, span_id, event, service = get("trace_id"), get("span_id"), get("event_name"), get("service_name")
        version, instance = get("service_version"), get("service_instance")
        scope, scope_version, scope_attributes = get("scope_name"), get("scope_version"), get("scope_attributes")
        if not (
            _FLAT.issuperset(record)
            and time.__class__ is int and NANOSECONDS_FROM <= time < LATEST_NS
            and (observed is None or (observed.__class__ is int and NANOSECONDS_FROM <= observed < LATEST_NS))
            and number.__class__ is int and 0 < number < 25
            and (word is None or (word.__class__ is str and word and not word.isspace()))
            and body.__class__ is str and body and not body.isspace()
            and (attributes is None or attributes.__class__ is dict)
            and (resource is None or resource.__class__ is dict)
            and (service is None or service.__class__ is str)
            and (trace_id is None or (trace_id.__class__ is str and len(trace_id) == _TRACE_ID_DIGITS
                                      and trace_id.islower()))
            and (span_id is None or (span_id.__class__ is str and len(span_id) == _SPAN_ID_DIGITS
                                     and span_id.islower()))
            and (flags is None or (flags.__class__ is int and 0 <= flags < 256))
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
            return search(record, subject, sources[subject], adjustments)
        return _new_log(
            Log,
            (
                time, observed, None, trace_id, span_id, flags, severity_name(number) if word is None else word, number,
                body, event or None, sources[subject], service, version or None, instance or None, scope or None,
                scope_version or None, scope_attributes, attributes, resource,
            ),
        )  # fmt: skip

    return read


def _source_of(subject: str) -> str | None:
    """Return the source that a subject of logs names: its second token, or a known word anywhere in it."""
    tokens = subject.split(".")
    if tokens[0] == "logs" and len(tokens) > 1:
        return tokens[1]
    return next((word for word in _SOURCES if word in subject), None)

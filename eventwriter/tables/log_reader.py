"""
What a log record says, read once for both tables that it may fill.

Nearly all records are flat: they have the keys that `formats.otlp_logs` gives them, which
are those of ServiceRadar's rule engine. They are read here; GELF and all else is
searched for by `log_fields`.
"""

from collections.abc import Callable
from typing import Any

from eventwriter.formats.remember import Remembered
from eventwriter.model import Record
from eventwriter.tables.log_fields import Log, search, severity

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
    sources = Remembered(_source_of)

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

"""Hypothesis strategies for JSON log records with arbitrary values in known fields."""

from hypothesis import strategies as st

FIELDS = [
    "timestamp", "time", "ts", "@timestamp", "timeUnixNano", "observed_timestamp", "observedTimeUnixNano", "traceId",
    "span_id", "flags", "trace_flags", "severity_number", "severityText", "severity", "level", "body", "message", "msg",
    "event", "log", "varbinds", "service.name", "service", "serviceVersion", "service_instance_id", "host", "hostname",
    "resource", "resource_attributes", "source", "ip", "_remote_addr", "scope", "scopeName", "scope_attributes",
    "attributes", "event_name", "id", "class_uid", "category_uid", "activity_id", "community", "zzz",
]  # fmt: skip
words = st.sampled_from(
    [
        "INFO",
        "warn2",
        "3",
        "0",
        "very high",
        "a=b,c=d",
        '{"a":"\\u0000"}',
        "[1]",
        "waf.finding",
        "default:10.0.0.1:9",
        " ",
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

records = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=10)

"""Hypothesis strategies for events with arbitrary values in known fields."""

from hypothesis import strategies as st

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
json_text = st.sampled_from(['{"community":"s3cret"}', "[1", "[]", '{"a":{"Community":"s3cret"}}', "eyJhIjoxfQ=="])
anything = st.recursive(
    scalars | json_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OCSF_KEYS = (
    "id", "time", "class_uid", "categoryUid", "category_uid", "type_uid", "activity_id", "activity_name",
    "severity_id", "severity", "message", "status_id", "status", "metadata", "observables", "traceId", "actor",
    "device", "srcEndpoint", "log_name", "unmapped", "raw_data", "tenant_id", "zzz",
)  # fmt: skip
OTHER_KEYS = (
    "specversion", "id", "source", "type", "subject", "time", "data", "data_base64", "version", "host",
    "short_message", "level", "severity", "timestamp", "varbinds", "body", "_remote_addr", "service_name", "zzz",
)  # fmt: skip
DATA_KEYS = (
    "device_id", "action", "actor", "gateway_id", "pollerId", "previous_state", "current_state", "timestamp",
    "level", "severity", "host", "short_message", "message", "source_ip", "zzz",
)  # fmt: skip
TYPES = st.sampled_from(["a.gateway.health", "a.poller.health", "a.device.lifecycle", "cef_severity"])

ocsf = st.dictionaries(st.sampled_from(OCSF_KEYS), anything, max_size=8)
needed = {"id": "x", "class_uid": 1, "category_uid": 1, "activity_id": 0}
others = st.dictionaries(st.sampled_from(OTHER_KEYS), anything, max_size=8)
data = st.dictionaries(st.sampled_from(DATA_KEYS), anything, max_size=6)
events = st.one_of(
    st.builds(lambda fields: {**needed, **fields}, ocsf),
    others,
    st.builds(
        lambda fields, kind, inner: {"specversion": "1.0", **fields, "type": kind, "data": inner}, others, TYPES, data
    ),
    st.builds(lambda fields: {"version": "1.1", "host": "h", "short_message": "m", **fields}, others),
    st.builds(lambda fields, binds: {**fields, "varbinds": binds}, others, st.lists(anything, max_size=3)),
)

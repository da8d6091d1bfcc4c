"""Events of the Open Cybersecurity Schema Framework, in the table that all of them share."""

from eventwriter.tables.table import Column

COLUMNS = (
    Column("id", "uuid", not_null=True),
    Column("time", "timestamptz", not_null=True),
    Column("class_uid", "int4", not_null=True),
    Column("category_uid", "int4", not_null=True),
    Column("type_uid", "int4", not_null=True),
    Column("activity_id", "int4", not_null=True),
    Column("activity_name", "text"),
    Column("severity_id", "int4"),
    Column("severity", "text"),
    Column("message", "text"),
    Column("status_id", "int4"),
    Column("status", "text"),
    Column("status_code", "text"),
    Column("status_detail", "text"),
    Column("metadata", "jsonb"),
    Column("observables", "jsonb"),
    Column("trace_id", "text"),
    Column("span_id", "text"),
    Column("actor", "jsonb"),
    Column("device", "jsonb"),
    Column("src_endpoint", "jsonb"),
    Column("dst_endpoint", "jsonb"),
    Column("log_name", "text"),
    Column("log_provider", "text"),
    Column("log_level", "text"),
    Column("log_version", "text"),
    Column("unmapped", "jsonb"),
    Column("raw_data", "text"),
)
"""Filled by events, and by logs as class 1008."""

"""Tests of the fields of a log record."""

from typing import Any

import pytest

from eventwriter.model import Adjustments
from eventwriter.tables.otel.log_record import Log, log_reader, search

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def read(subject: str = "logs.syslog.processed", adjustments: Adjustments | None = None, **fields: Any) -> Log:
    return log_reader(adjustments or Adjustments())(fields, subject)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        pytest.param({"summary": "s", "msg": "m", "message": "x", "body": "b"}, "b", id="body first"),
        pytest.param({"summary": "s", "msg": "m", "message": "x"}, "x", id="then message"),
        pytest.param({"log": "l", "event": "e", "short_message": "sh", "summary": "s"}, "s", id="then summary"),
        pytest.param({"log": "l", "event": "e", "shortMessage": "sh"}, "sh", id="camelCase"),
        pytest.param({"body": " ", "message": "", "log": "l"}, "l", id="blank is absent"),
        pytest.param({"body": {"a": [1, None]}, "message": "x"}, '{"a":[1,null]}', id="object"),
        pytest.param({"body": [1, "x"]}, '[1,"x"]', id="array"),
        pytest.param({"body": 0, "message": "x"}, "0", id="zero is a value"),
        pytest.param({"body": False}, "false", id="boolean"),
        pytest.param({"body": float("nan")}, "NaN", id="NaN is not the text null"),
        pytest.param({"body": {}, "message": "x"}, "x", id="empty object is absent"),
        pytest.param({"message": [72, 105, 10]}, "Hi", id="character codes"),
        pytest.param({"body": [80, 443]}, "[80,443]", id="other numbers are no text"),
        pytest.param({"message": {"a": 1}, "log": "l"}, "l", id="text before objects"),
        pytest.param({"varbinds": [{"value": " "}, {"value": "STRING: a: b "}]}, "a: b", id="varbind"),
        pytest.param({"varbinds": [7, {"value": "x:"}]}, "x:", id="varbind without text"),
        pytest.param({"event": 5, "foo": "x"}, "logs.syslog.processed", id="subject"),
        pytest.param({"version": "1.1", "host": "h", "full_message": "f"}, "f", id="GELF with full_message only"),
        pytest.param({"output": "o", "rule": "r", "priority": "Error"}, "o", id="falcosidekick"),
        pytest.param({"MESSAGE": "m", "PRIORITY": "6", "_PID": "1"}, "m", id="journald"),
        pytest.param({"MESSAGE": [104, 195, 164, 27]}, "hä\x1b", id="journald with bytes"),
        pytest.param({"textPayload": "t"}, "t", id="Google Cloud text"),
        pytest.param({"jsonPayload": {"message": "m", "a": 1}}, "m", id="Google Cloud JSON"),
        pytest.param({"jsonPayload": {"a": 1}}, '{"a":1}', id="Google Cloud JSON without a message"),
        pytest.param({"@t": "2026-01-01", "@mt": "a {b}", "@m": "a 1"}, "a 1", id="Serilog rendered"),
        pytest.param({"@t": "2026-01-01", "@mt": "a {b}"}, "a {b}", id="Serilog template"),
        pytest.param({"MessageTemplate": "a {b}", "RenderedMessage": "a 1"}, "a 1", id="Serilog's old format"),
        pytest.param({"event_type": "alert", "alert": {"signature": "ET X"}, "src_ip": "1.2.3.4"}, "ET X", id="EVE"),
        pytest.param({"event_type": "dns", "flow_id": 1, "dns": {"rrname": "x"}}, "dns", id="EVE without an alert"),
        pytest.param({"text": "x | m\n", "record": {"message": "m", "level": {}}}, "m", id="loguru"),
        pytest.param({"message": "m", "log": {"level": "info"}, "event": {"kind": "e"}}, "m", id="ECS"),
    ],
)
def test_body(fields: dict[str, Any], body: str) -> None:
    """The body is the first of its names with text, else the text of a trap's first varbind, else the subject."""
    assert body == read(**fields).body


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        pytest.param({"severity_number": 11, "severity_text": "INFO"}, ("INFO", 11), id="number is kept"),
        pytest.param({"severityNumber": 11, "level": 3}, ("INFO", 11), id="number before level"),
        pytest.param({"severity_number": 0, "severity_text": "warn"}, ("warn", 13), id="zero is absent"),
        pytest.param({"severity_number": 25, "severity": "High"}, ("High", 17), id="number out of range"),
        pytest.param({"severity_number": "SEVERITY_NUMBER_ERROR2"}, ("ERROR", 18), id="number's protobuf name"),
        pytest.param({"severityText": "err", "severity": "Low", "level": 7}, ("err", 17), id="text first"),
        pytest.param({"severity": "Unknown", "level": 3}, ("ERROR", 17), id="unknown says nothing"),
        pytest.param({"severity": "Unknown", "level": 0}, ("FATAL", 21), id="unknown beside an emergency"),
        pytest.param({"severity": "Unknown"}, ("Unknown", None), id="unknown alone"),
        pytest.param({"level": 3}, ("ERROR", 17), id="numeric level"),
        pytest.param({"level": "6"}, ("INFO", 9), id="numeric level as text"),
        pytest.param({"level": "panic"}, ("panic", 21), id="level in a word"),
        pytest.param({"severity": "odd", "level": 2}, ("odd", 18), id="unknown word beside a level"),
        pytest.param({"severity_text": "odd"}, ("odd", None), id="unknown word"),
        pytest.param({"severity_text": " ", "level": 99}, (None, None), id="nothing known"),
        pytest.param({"priority": "Notice", "output": "o"}, ("Notice", 10), id="falcosidekick"),
        pytest.param({"PRIORITY": "3", "MESSAGE": "m"}, ("ERROR", 17), id="journald"),
        pytest.param({"PRIORITY": "warning", "MESSAGE": "m"}, ("warning", 13), id="syslog-ng"),
        pytest.param({"severity": "DEFAULT", "textPayload": "t"}, ("DEFAULT", None), id="Google Cloud default"),
        pytest.param({"severity": 500, "textPayload": "t"}, ("ERROR", 17), id="Google Cloud number"),
        pytest.param({"@t": "2026-01-01", "@m": "m", "@l": "Warning"}, ("Warning", 13), id="Serilog"),
        pytest.param({"@t": "2026-01-01", "@m": "m", "@l": "Verbose"}, ("Verbose", 1), id="Serilog's lowest"),
        pytest.param({"@t": "2026-01-01", "@m": "m"}, ("INFO", 9), id="Serilog without a level"),
        pytest.param({"event_type": "alert", "alert": {"severity": 1}}, ("ERROR", 17), id="EVE"),
        *[
            pytest.param({"level": level, "msg": "m"}, (name, number), id=f"pino {level}")
            for level, name, number in (
                (10, "TRACE", 1), (20, "DEBUG", 5), (30, "INFO", 9), (35, "INFO", 9), (40, "WARN", 13),
                (50, "ERROR", 17), (60, "FATAL", 21),
            )
        ],
        pytest.param({"log.level": "warn", "message": "m"}, ("warn", 13), id="ECS dotted"),
        pytest.param({"log": {"level": "warn"}, "message": "m"}, ("warn", 13), id="ECS nested"),
        pytest.param({"levelname": "CRITICAL", "message": "m"}, ("CRITICAL", 18), id="python-json-logger"),
        pytest.param({"levelno": 10, "message": "m"}, ("DEBUG", 5), id="Python's number"),
        pytest.param({"level": 400, "level_name": "ERROR", "message": "m"}, ("ERROR", 17), id="Monolog"),
        pytest.param({"level": "INFO+2", "msg": "m"}, ("INFO+2", 11), id="slog above"),
        pytest.param({"level": "DEBUG-4", "msg": "m"}, ("DEBUG-4", 1), id="slog below"),
        pytest.param({"level": "ERROR+99", "msg": "m"}, ("ERROR+99", 24), id="slog far above"),
        pytest.param(
            {"text": "t", "record": {"message": "m", "level": {"name": "SUCCESS", "no": 25}}}, ("SUCCESS", 9),
            id="loguru"
        ),
        pytest.param({"level": "dpanic", "msg": "m"}, ("dpanic", 18), id="zap"),
        pytest.param({"level": "http", "message": "m"}, ("http", 8), id="winston http"),
        pytest.param({"level": "verbose", "message": "m"}, ("verbose", 7), id="winston verbose"),
        pytest.param({"level": "silly", "message": "m"}, ("silly", 1), id="winston silly"),
    ],
)  # fmt: skip
def test_severity(fields: dict[str, Any], severity: tuple[str | None, int | None]) -> None:
    """A number of the payload is kept, else text or level give it; the text is the payload's, else a name."""
    log = read(**({"body": "x"} | fields))

    assert severity == (log.severity_text, log.severity_number)


@pytest.mark.parametrize(
    ("fields", "attributes"),

       [
        (
            {"severity_text": "WARN", "severity": "high", "level": 3, "severity_number": 13},
            {"severity": "high", "level": 3},
        ),
        ({"severity_text": "WARN", "severity": "WARN", "level": "WARN"}, None),
        ({"severity_number": "abc"}, {"severity_number": "abc"}),
        ({"severity_number": 99, "level": 3}, {"severity_number": 99}),
        ({"severity": "Unknown", "level": 3}, {"severity": "Unknown"}),
        ({"level": {"a": 1}}, {"level": {"a": 1}}),
    ],
)  # fmt: skip
def test_severity_that_is_not_stored_is_an_attribute(fields: dict[str, Any], attributes: Any) -> None:
    """Of several severities those that are in neither column remain."""
    assert attributes == read(body="x", **fields).attributes


def test_unreadable_severity_is_counted() -> None:
    """A severity number that means nothing is counted by column."""
    adjustments = Adjustments()

    read(adjustments=adjustments, body="x", severity_number="abc")

    assert {"severity_number": 1} == adjustments.nulled_by_column


@pytest.mark.parametrize(
    ("fields", "service"),
    [
        pytest.param({"service_name": "a", "host": "h"}, "a", id="own"),
        pytest.param({"serviceName": "a", "service.name": "b"}, "a", id="camelCase"),
        pytest.param({"service.name": "a", "service": "b"}, "a", id="dotted"),
        pytest.param({"service": {"name": "a", "version": "1"}}, "a", id="nested"),
        pytest.param({"service": "a"}, "a", id="short"),
        pytest.param({"service": {"x": 1}, "hostname": "h"}, "h", id="host"),
        pytest.param({"host": "h", "resource": {"service.name": "r"}}, "h", id="host before resource"),
        pytest.param({"service_name": "", "resource": {"service.name": "r"}}, "r", id="resource"),
        pytest.param({"SYSLOG_IDENTIFIER": "sshd", "_HOSTNAME": "h"}, "sshd", id="journald"),
        pytest.param({"PROGRAM": "sshd", "HOST": "h"}, "sshd", id="syslog-ng"),
        pytest.param({}, None, id="none"),
    ],
)
def test_service_name(fields: dict[str, Any], service: str | None) -> None:
    """The service is the record's own, else the program or host that sent it, else that of the resource."""
    assert service == read(body="x", **fields).service_name


@pytest.mark.parametrize(
    ("subject", "fields", "source"),
    [
        ("logs.app", {}, "app"),
        ("logs.syslog.processed", {"source": "10.0.0.1:5"}, "syslog"),
        ("tenant.logs.snmp.processed", {"source": "x"}, "snmp"),
        ("something", {"source": "x"}, "x"),
        ("something", {"source": {}}, None),
        ("logs.syslog", {"source": "waf", "event_name": "waf.finding"}, "waf"),
        ("logs.syslog", {"source": "waf", "attributes": {"event_type": "waf.finding"}}, "waf"),
    ],
)
def test_source(subject: str, fields: dict[str, Any], source: str | None) -> None:
    """The source is the one that the subject names, else the record's; a firewall's finding has its own first."""
    assert source == read(subject, message="x", **fields).source


@pytest.mark.parametrize(
    "given",
    [{"a": "1", "b": "x y"}, '{"a":"1","b":"x y"}', "a=1,b=x y", " a = 1 , b = x y "],
    ids=["object", "JSON", "pairs", "pairs with blanks"],
)
def test_attributes_may_be_text(given: Any) -> None:
    """Attributes and resource may be an object, its JSON text, or pairs."""
    log = read(message="x", attributes=given, resource=given, scope_attributes=given)

    assert ({"a": "1", "b": "x y"},) * 3 == (log.attributes, log.resource_attributes, log.scope_attributes)


def test_pairs_with_a_repeated_key_are_kept_as_text() -> None:
    """Pairs of which one would be lost are not parsed."""
    assert {"attributes": "a=1,a=2"} == read(message="x", attributes="a=1,a=2").attributes


def test_other_fields_are_attributes() -> None:
    """All other keys are attributes, except blank ones; a key that the attributes have too gets a prefix."""
    log = read(
        message="x", short_message="y", log="x", level=99, timestamp=1, time=2, trace_id="t", traceId="t",
        attributes={"a": 1}, a=2, version="1.1", none=None, blank=" ", zero=0, resource="no pairs", flags="odd",
    )  # fmt: skip

    assert {
        "short_message": "y", "level": 99, "time": 2, "a": 1, "payload.a": 2, "version": "1.1", "zero": 0,
        "resource": "no pairs", "flags": "odd",
    } == log.attributes  # fmt: skip


def test_names_of_one_field_that_differ_are_both_kept() -> None:
    """The other name of a field is an attribute if its value differs."""
    flat = {"body": "x", "service_name": "s", "resource_attributes": {"a": 1}, "scope_name": "n"}

    assert read(**flat, resource={"a": 1}, scope="n").attributes is None
    assert {"resource": {"a": 2}} == read(**flat, resource={"a": 2}).attributes
    assert {"scope": "other"} == read(**flat, scope="other").attributes


def test_sender_forms_the_resource() -> None:
    """The fields that identify the sender form the resource of a record that has none; else they are attributes."""
    sender = {"host": "h", "remote_addr": "a", "source": "s", "ip": "i"}

    assert (None, sender) == read(message="x", **sender)[-2:]
    assert (sender, {"r": 1}) == read(message="x", resource_attributes={"r": 1}, **sender)[-2:]


def test_source_of_slog_is_not_a_resource() -> None:
    """The object `source` of log/slog is a position in the code, and an attribute."""
    code = {"function": "main.main", "file": "main.go", "line": 7}

    log = read(time="2026-01-01T00:00:00Z", level="INFO", msg="m", source=code)

    assert ({"source": code}, None, "syslog") == (log.attributes, log.resource_attributes, log.source)


@pytest.mark.parametrize(
    ("fields", "scope"),
    [
        ({"scope": "s"}, ("s", None, None)),
        ({"scope": {"name": "s", "version": 2, "attributes": {"a": 1}}}, ("s", "2", {"a": 1})),
        ({"scope": {"name": "s"}, "scopeName": "own", "scope_version": "1"}, ("own", "1", None)),
        ({"scope_name": ""}, (None, None, None)),
    ],
)
def test_scope(fields: dict[str, Any], scope: tuple[Any, ...]) -> None:
    """The scope has fields of its own, or is an object or a name."""
    log = read(body="x", **fields)

    assert scope == (log.scope_name, log.scope_version, log.scope_attributes)


T = 1_767_225_600


@pytest.mark.parametrize(
    ("fields", "time"),
    [
        ({"timestamp": T, "ts": 6}, T),
        ({"timestamp": None, "ts": T}, T),
        ({"@timestamp": T, "observed_timestamp": 8}, T),
        ({"timestamp": 0, "observedTimeUnixNano": T}, T),
        ({"timestamp": "", "ts": T}, T),
        ({"time": "7:58PM", "ts": T}, T),
        ({"time": "Oct 11 22:14:15", "@timestamp": "2026-01-01T00:00:00Z"}, "2026-01-01T00:00:00Z"),
        ({"timestamp": "0001-01-01T00:00:00Z", "observed_timestamp": T}, T),
        ({"timestamp": {"seconds": T, "nanos": 5}}, {"seconds": T, "nanos": 5}),
        ({"instant": {"epochSecond": T, "nanoOfSecond": 5}}, {"epochSecond": T, "nanoOfSecond": 5}),
        ({"timestamp": "junk"}, "junk"),
        ({"asctime": "2026-01-01 00:00:00,123"}, "2026-01-01 00:00:00,123"),
        ({"ISODATE": "2026-01-01T00:00:00+00:00", "DATE": "Jan  1 00:00:00"}, "2026-01-01T00:00:00+00:00"),
        ({"__REALTIME_TIMESTAMP": f"{T}000000"}, f"{T}000000"),
        ({"@t": "2026-01-01T00:00:00Z"}, "2026-01-01T00:00:00Z"),
        ({"record": {"time": {"repr": "2026-01-01 00:00:00+00:00", "timestamp": T + 0.5}}}, T + 0.5),
        ({}, None),
    ],
)
def test_time_is_the_first_readable_one(fields: dict[str, Any], time: Any) -> None:
    """The time is the first readable of its names, else the observed time, else the unreadable one."""
    assert time == read(body="x", **fields).timestamp


def test_unreadable_time_is_counted_and_kept() -> None:
    """A time that another name replaces stays as an attribute, and is counted."""
    adjustments = Adjustments()

    log = read(adjustments=adjustments, message="m", time="Oct 11 22:14:15", ts=T)

    assert ({"time": "Oct 11 22:14:15"}, {"timestamp": 1}) == (log.attributes, adjustments.nulled_by_column)


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({"trace_id": TRACE_ID.upper(), "span_id": f"0x{SPAN_ID}"}, (TRACE_ID, SPAN_ID)),
        ({"traceId": f"0x{TRACE_ID}", "spanId": SPAN_ID}, (TRACE_ID, SPAN_ID)),
        ({"trace_id": "0" * 32, "span_id": "0" * 16}, (None, None)),
        ({"trace_id": "", "span_id": ""}, (None, None)),
        ({"trace.id": TRACE_ID, "span": {"id": SPAN_ID}}, (TRACE_ID, SPAN_ID)),
        ({"@tr": TRACE_ID, "@sp": SPAN_ID}, (TRACE_ID, SPAN_ID)),
        ({"trace": f"projects/p/traces/{TRACE_ID}", "spanId": SPAN_ID}, (TRACE_ID, SPAN_ID)),
        ({"trace_id": "not hex"}, ("not hex", None)),
    ],
)
def test_identifiers_are_lower_case_hexadecimal(fields: dict[str, Any], ids: tuple[str | None, str | None]) -> None:
    """Identifiers are lower case without `0x`; zeros mean that there is none."""
    flat = {"body": "x", "severity_number": 9, "timestamp": T * 10**9, "service_name": "s", "resource_attributes": {}}

    log, flat_log = read(body="x", **fields), read(**flat, **fields)

    assert ids == (log.trace_id, log.span_id) == (flat_log.trace_id, flat_log.span_id)


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ({"id": "7b1f3f0e-5d0a-4a53-9a0e-0f4f2a9f6f11"}, "7b1f3f0e-5d0a-4a53-9a0e-0f4f2a9f6f11"),
        ({"id": "7"}, None),
        ({"id": "7", "class_uid": 1008}, "7"),
        ({"id": 7, "class_uid": 1008}, None),
    ],
)
def test_given_id(fields: dict[str, Any], given: str | None) -> None:
    """An id is the record's if it is a UUID or belongs to an OCSF event; any other one is an attribute."""
    log = search({"message": "x", **fields}, "logs.app", "app", Adjustments())

    assert given == log.given_id
    assert given is None or given != "7" or log.attributes is not None


def test_other_fields_of_nested_forms_remain() -> None:
    """What is taken out of an object leaves its other fields in place."""
    loguru = {"text": "00:00 | m\n", "record": {"message": "m", "level": {"name": "INFO", "no": 20}, "line": 3}}

    assert {"text": "00:00 | m\n", "record": {"level": {"no": 20}, "line": 3}} == read(**loguru).attributes
    assert {"log": {"logger": "l"}} == read(message="m", log={"level": "info", "logger": "l"}).attributes
    assert {"jsonPayload": {"a": 1}} == read(jsonPayload={"message": "m", "a": 1}).attributes

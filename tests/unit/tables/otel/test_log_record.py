"""What a log record of any shape says."""

from typing import Any

import pytest

from eventwriter.tables.otel.log_record import Log, log_reader, search


def said(subject: str = "logs.syslog.processed", **fields: Any) -> Log:
    return log_reader()(fields, subject)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        pytest.param({"summary": "s", "msg": "m", "message": "x", "body": "b"}, "b", id="body first"),
        pytest.param({"summary": "s", "msg": "m", "message": "x"}, "x", id="then message"),
        pytest.param({"log": "l", "event": "e", "short_message": "sh", "summary": "s"}, "s", id="then summary"),
        pytest.param({"log": "l", "event": "e", "shortMessage": "sh"}, "sh", id="camelCase"),
        pytest.param({"body": " ", "message": "", "log": "l"}, "l", id="blank is none"),
        pytest.param({"body": {"a": [1, None]}, "message": "x"}, '{"a":[1,null]}', id="object"),
        pytest.param({"body": [1, "x"]}, '[1,"x"]', id="array"),
        pytest.param({"body": 0, "message": "x"}, "0", id="zero is a value"),
        pytest.param({"body": False}, "false", id="boolean"),
        pytest.param({"body": {}, "message": "x"}, "x", id="empty object is none"),
        pytest.param({"message": [72, 105, 10]}, "Hi", id="character codes"),
        pytest.param({"body": [80, 443]}, "[80,443]", id="other numbers are no text"),
        pytest.param({"message": {"a": 1}, "log": "l"}, "l", id="text before objects"),
        pytest.param({"message": {"a": 1}}, '{"a":1}', id="object as message"),
        pytest.param({"varbinds": [{"value": " "}, {"value": "STRING: a: b "}]}, "a: b", id="varbind"),
        pytest.param({"varbinds": [7, {"value": "x:"}]}, "x:", id="varbind without text"),
        pytest.param({"event": 5, "foo": "x"}, "logs.syslog.processed", id="subject"),
    ],
)
def test_body(fields: dict[str, Any], body: str) -> None:
    """The body is the first of its names that says something, else a trap's first varbind, else the subject."""
    assert body == said(**fields).body


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        pytest.param({"severity_number": 11, "severity_text": "INFO"}, ("INFO", 11), id="number is kept"),
        pytest.param({"severityNumber": 11, "level": 3}, ("INFO", 11), id="number before level"),
        pytest.param({"severity_number": 0, "severity_text": "warn"}, ("warn", 13), id="zero is none"),
        pytest.param({"severity_number": 25, "severity": "High"}, ("High", 17), id="out of range"),
        pytest.param({"severityText": "err", "severity": "Low", "level": 7}, ("err", 17), id="text first"),
        pytest.param({"severity": "Unknown", "level": 3}, ("Unknown", 9), id="then severity"),
        pytest.param({"level": 3}, ("ERROR", 17), id="numeric level"),
        pytest.param({"level": "6"}, ("INFO", 9), id="numeric level as text"),
        pytest.param({"level": "panic"}, ("panic", 21), id="level in a word"),
        pytest.param({"severity": "odd", "level": 2}, ("odd", 18), id="unknown word beside a level"),
        pytest.param({"severity_text": "odd"}, ("odd", None), id="unknown word"),
        pytest.param({"severity_text": " ", "level": 99}, (None, None), id="nothing known"),
    ],
)
def test_severity(fields: dict[str, Any], severity: tuple[str | None, int | None]) -> None:
    """A number of the payload is kept, else text or level give it; the text is the payload's, else a name."""
    log = said(body="x", **fields)

    assert severity == (log.severity_text, log.severity_number)


@pytest.mark.parametrize(
    ("fields", "service"),
    [
        pytest.param({"service_name": "a", "host": "h"}, "a", id="own"),
        pytest.param({"serviceName": "a", "service.name": "b"}, "a", id="camelCase"),
        pytest.param({"service.name": "a", "service": "b"}, "a", id="dotted"),
        pytest.param({"service": "a"}, "a", id="short"),
        pytest.param({"service": {"x": 1}, "hostname": "h"}, "h", id="host"),
        pytest.param({"host": "h", "resource": {"service.name": "r"}}, "h", id="host before resource"),
        pytest.param({"service_name": "", "resource": {"service.name": "r"}}, "r", id="resource"),
        pytest.param({}, None, id="none"),
    ],
)
def test_service_name(fields: dict[str, Any], service: str | None) -> None:
    """The service is the record's own, else the host that sent it, else the resource's."""
    assert service == said(body="x", **fields).service_name


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
    """The source is what the subject names, else the record's own; a firewall's finding has its own first."""
    assert source == said(subject, message="x", **fields).source


@pytest.mark.parametrize(
    "given",
    [{"a": "1", "b": "x y"}, '{"a":"1","b":"x y"}', "a=1,b=x y", " a = 1 , b = x y "],
    ids=["object", "JSON", "pairs", "pairs with blanks"],
)
def test_attributes_may_be_text(given: Any) -> None:
    """Attributes and resource may be an object, its JSON text, or pairs."""
    log = said(message="x", attributes=given, resource=given, scope_attributes=given)

    assert ({"a": "1", "b": "x y"},) * 3 == (log.attributes, log.resource_attributes, log.scope_attributes)


def test_what_no_field_takes_is_an_attribute() -> None:
    """Nothing is lost: other keys are attributes, blank ones aside, and the payload's own attributes win."""
    log = said(
        message="x", short_message="y", log="x", level=99, timestamp=1, time=2, trace_id="t", traceId="t",
        attributes={"a": 1}, a=2, version="1.1", none=None, blank=" ", zero=0, resource="no pairs", flags="odd",
    )  # fmt: skip

    assert {
        "short_message": "y", "level": 99, "time": 2, "a": 1, "version": "1.1", "zero": 0, "resource": "no pairs",
        "flags": "odd",
    } == log.attributes  # fmt: skip


def test_names_of_one_field_that_differ_are_both_kept() -> None:
    """What the other name of a field says is an attribute where it says something else."""
    flat = {"body": "x", "service_name": "s", "resource_attributes": {"a": 1}, "scope_name": "n"}

    assert said(**flat, resource={"a": 1}, scope="n").attributes is None
    assert {"resource": {"a": 2}} == said(**flat, resource={"a": 2}).attributes


def test_sender_stands_for_the_resource() -> None:
    """Where the record gives no resource, the fields that say who sent it are it; otherwise they are attributes."""
    sender = {"host": "h", "remote_addr": "a", "source": "s", "ip": "i"}

    assert (None, sender) == said(message="x", **sender)[-2:]
    assert (sender, {"r": 1}) == said(message="x", resource_attributes={"r": 1}, **sender)[-2:]


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
    log = said(body="x", **fields)

    assert scope == (log.scope_name, log.scope_version, log.scope_attributes)


@pytest.mark.parametrize(
    ("fields", "time"),
    [
        ({"timestamp": 5, "ts": 6}, 5),
        ({"timestamp": None, "ts": 6}, 6),
        ({"@timestamp": 7, "observed_timestamp": 8}, 7),
        ({"timestamp": 0, "observedTimeUnixNano": 8}, 8),
        ({"timestamp": "junk", "observed_timestamp": 8}, "junk"),
        ({}, None),
    ],
)
def test_time(fields: dict[str, Any], time: Any) -> None:
    """The time is the first of its names that is there, and the observed one where there is none."""
    assert time == said(body="x", **fields).timestamp


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
    """An id counts where it is a UUID or an OCSF event's; what else is called so may repeat, and stays an attribute."""
    log = search({"message": "x", **fields}, "logs.app", "app")

    assert given == log.given_id
    assert given is None or given != "7" or log.attributes is not None

"""What CloudEvents say, by their type."""

import base64
from typing import Any

import pytest

from eventwriter.formats.cloudevents import data_of, said

HEALTH, LIFECYCLE = "com.carverauto.serviceradar.gateway.health", "com.carverauto.serviceradar.device.lifecycle"


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        ({"data": {"a": 1}}, {"a": 1}),
        ({"data": '{"a": 1}'}, {"a": 1}),
        ({"data": "plain text"}, "plain text"),
        ({"data": 0}, 0),
        ({"data_base64": encoded('{"a": "x\\u0000"}')}, {"a": "x\ufffd"}),
        ({"data_base64": encoded("nul \0 in text")}, "nul \ufffd in text"),
        ({"data": None, "data_base64": encoded("[1]")}, [1]),
        ({"data_base64": encoded(b"\xff\xfe")}, None),
        ({"data_base64": "no base64!"}, None),
        ({"data_base64": 5}, None),
        ({}, None),
    ],
)
def test_data_is_read_in_every_form(envelope: dict[str, Any], expected: object) -> None:
    """Data is an object, JSON in text, text, or either of them in base64; what cannot be read is absent."""
    assert expected == data_of(envelope)


@pytest.mark.parametrize(
    ("state", "level", "severity"),
    [("unhealthy", 3, "error"), ("Healthy", 6, "info"), ("unknown", 5, "notice"), ("draining", 6, "info")],
)
def test_health_is_told_by_its_state(state: str, level: int, severity: str) -> None:
    """A change of state has the level and the word of the state that it leads to."""
    data = {"gateway_id": "gw-1", "previous_state": "healthy", "current_state": state, "source_ip": "10.0.0.9"}
    event = said({"type": HEALTH, "data": data})

    assert f"Gateway gw-1 state changed from healthy to {state}" == event.short_message
    assert ("gw-1", "10.0.0.9", level, severity, "1.1") == (
        event.host, event.remote_addr, event.level, event.severity, event.version
    )  # fmt: skip


def test_poller_is_called_a_poller() -> None:
    """A gateway by its former name is told by that name; its own host is its host."""
    data = {"pollerId": "p1", "currentState": "unhealthy", "host": "box", "timestamp": 5}
    event = said({"type": "com.carverauto.serviceradar.poller.health", "data": data})

    assert "Poller p1 state changed from unknown to unhealthy" == event.short_message
    assert ("box", 5) == (event.host, event.timestamp)


@pytest.mark.parametrize(
    ("data", "message", "level", "severity"),
    [
        ({"action": "Deleted", "actor": "ada", "level": 3, "severity": "High"}, "Device d1 deleted by ada", 3, "High"),
        ({"action": "alias_updated"}, "Device d1 alias updated", 5, "Medium"),
        ({"level": "junk", "severity": ""}, "Device d1 changed", 5, "Medium"),
        ({"action": "restored", "level": 0}, "Device d1 restored", 0, "Medium"),
    ],
)
def test_lifecycle_is_told_by_its_action(data: dict[str, Any], message: str, level: int, severity: str) -> None:
    """What was done to a device is told with its actor; level and severity have defaults, and 0 is a level."""
    event = said({"type": LIFECYCLE, "data": {"device_id": "d1", **data}})

    assert ("d1", message, level, severity, "1.1") == (
        event.host, event.short_message, event.level, event.severity, event.version
    )  # fmt: skip


def test_gelf_data_is_gelf_whatever_the_type() -> None:
    """Data with a short message is read as GELF, and its own time is told."""
    data = {"_remote_addr": "a:1", "host": "h", "level": 0, "short_message": "m", "timestamp": 1.5, "version": "1.1"}

    assert ("a:1", "h", 0, None, "m", "1.1", 1.5) == said({"type": "cef_severity", "time": "2024-01-01", "data": data})


def test_other_data_is_read_by_its_usual_names() -> None:
    """Of data of no known type the usual names are read; a level that is a word is a severity."""
    event = said({"type": "x", "time": 5, "data": {"hostname": "h", "message": "m", "level": "warn", "timestamp": 9}})

    assert (None, "h", "warn", "warn", "m", None, None) == event


@pytest.mark.parametrize("time", [None, "junk"])
def test_time_of_other_data_counts_where_the_envelope_has_none(time: str | None) -> None:
    """The time of data of no known type is taken only where the envelope's cannot be read."""
    assert 9 == said({"type": "x", "time": time, "data": {"timestamp": 9}}).timestamp


def test_text_data_is_the_message() -> None:
    """Data that is text is the message."""
    assert "hello" == said({"type": HEALTH, "data": "hello"}).short_message

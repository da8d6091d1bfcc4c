"""Summaries of CloudEvents by their type."""

import base64
from typing import Any

import pytest

from eventwriter.formats.cloudevents import data_of, summarize

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
def test_data_in_every_form_is_read(envelope: dict[str, Any], expected: object) -> None:
    """Data may be an object, JSON text, other text, or base64 of either; unreadable data is None."""
    assert expected == data_of(envelope)


@pytest.mark.parametrize(
    ("state", "level", "severity"),
    [("unhealthy", 3, "error"), ("Healthy", 6, "info"), ("unknown", 5, "notice"), ("draining", 6, "info")],
)
def test_health_event_has_level_of_its_state(state: str, level: int, severity: str) -> None:
    """A state change has the level and the severity of the new state."""
    data = {"gateway_id": "gw-1", "previous_state": "healthy", "current_state": state, "source_ip": "10.0.0.9"}
    event = summarize({"type": HEALTH, "data": data})

    assert f"Gateway gw-1 state changed from healthy to {state}" == event.short_message
    assert ("gw-1", "10.0.0.9", level, severity, "1.1") == (
        event.host, event.remote_addr, event.level, event.severity, event.version
    )  # fmt: skip


def test_poller_event_names_a_poller() -> None:
    """An event with a poller id names a poller, and its `host` field is the host."""
    data = {"pollerId": "p1", "currentState": "unhealthy", "host": "box", "timestamp": 5}
    event = summarize({"type": "com.carverauto.serviceradar.poller.health", "data": data})

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
def test_lifecycle_event_describes_its_action(data: dict[str, Any], message: str, level: int, severity: str) -> None:
    """The message contains the action and the actor; level and severity have defaults, and level 0 is kept."""
    event = summarize({"type": LIFECYCLE, "data": {"device_id": "d1", **data}})

    assert ("d1", message, level, severity, "1.1") == (
        event.host, event.short_message, event.level, event.severity, event.version
    )  # fmt: skip


def test_data_with_short_message_is_gelf() -> None:
    """Data with a short message is read as GELF with its own timestamp, whatever the type of the event."""
    data = {"_remote_addr": "a:1", "host": "h", "level": 0, "short_message": "m", "timestamp": 1.5, "version": "1.1"}

    assert ("a:1", "h", 0, None, "m", "1.1", 1.5) == summarize(
        {"type": "cef_severity", "time": "2024-01-01", "data": data}
    )


def test_data_of_unknown_type_is_read_by_usual_names() -> None:
    """Data of an unknown type is read by the usual field names; a level name is also the severity."""
    event = summarize(
        {"type": "x", "time": 5, "data": {"hostname": "h", "message": "m", "level": "warn", "timestamp": 9}}
    )

    assert (None, "h", "warn", "warn", "m", None, None) == event


@pytest.mark.parametrize("time", [None, "junk"])
def test_unreadable_envelope_time_is_replaced_by_time_of_data(time: str | None) -> None:
    """The timestamp of data of an unknown type is used if the envelope's time is missing or unreadable."""
    assert 9 == summarize({"type": "x", "time": time, "data": {"timestamp": 9}}).timestamp


def test_text_data_is_the_message() -> None:
    """Text data becomes the short message."""
    assert "hello" == summarize({"type": HEALTH, "data": "hello"}).short_message

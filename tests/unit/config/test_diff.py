"""Differences between two configurations."""

from typing import Any

import pytest

from eventwriter.config.diff import PRESENT, SECRET, Change, differences
from eventwriter.config.settings import Settings

ENTRY: dict[str, Any] = {"stream_name": "events", "kind": "telemetry"}
A, B = ({**ENTRY, "name": name, "subjects": [f"{name}.>"]} for name in ("A", "B"))


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"streams": [A, B], **sections}, by_alias=True)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        pytest.param({}, {}, [], id="nothing"),
        pytest.param({}, {"log": {"level": "debug"}}, [Change("log.level", "info", "debug")], id="a key of a section"),
        pytest.param(
            {},
            {"streams": [{**A, "batch_timeout": "2s"}, B]},
            [Change("streams[A].batch_timeout", "1s", "2s")],
            id="a duration of an entry",
        ),
        pytest.param({}, {"streams": [B]}, [Change("streams[A]", PRESENT, None)], id="an entry removed"),
        pytest.param({"streams": [A]}, {}, [Change("streams[B]", None, PRESENT)], id="an entry added"),
        pytest.param({}, {"streams": [B, A]}, [Change("streams", ["A", "B"], ["B", "A"])], id="their order"),
    ],
)
def test_change_has_the_form_of_the_file(before: dict[str, Any], after: dict[str, Any], changes: list[Change]) -> None:
    """Each change has its key path, and its values as a file has them."""
    assert changes == differences(settings(**before), settings(**after))


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ({"nats": {"password": "old-secret"}}, {"nats": {"password": "new-secret"}}, "nats.password"),
        (
            {"nats": {"servers": "nats://u:old-secret@h"}},
            {"nats": {"servers": "nats://u:new-secret@h"}},
            "nats.servers",
        ),
        ({"postgres": {"dsn": "password=old-secret"}}, {"postgres": {"dsn": "password=new-secret"}}, "postgres.dsn"),
    ],
)
def test_changed_secret_is_reported_without_its_values(before: dict[str, Any], after: dict[str, Any], key: str) -> None:
    """A changed password is a change whose values are hidden."""
    assert [Change(key, SECRET, SECRET)] == differences(settings(**before), settings(**after))


def test_new_secret_is_hidden() -> None:
    """A password that was not set before is shown as asterisks."""
    (change,) = differences(settings(), settings(nats={"token": "new-secret"}))

    assert (None, False) == (change.before, "new-secret" in str(change.after))

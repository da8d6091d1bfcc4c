"""What differs between two sets of settings."""

from typing import Any

import pytest

from eventwriter.config.diff import SECRET, Change, differences
from eventwriter.config.settings import Settings

ENTRY: dict[str, Any] = {"stream_name": "events", "kind": "telemetry"}
A, B = ({**ENTRY, "name": name, "subjects": [f"{name}.>"]} for name in ("A", "B"))


def settings(**given: Any) -> Settings:
    return Settings.model_validate({"streams": [A, B], **given}, by_alias=True)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param({}, {}, [], id="nothing"),
        pytest.param({}, {"log": {"level": "debug"}}, [Change("log.level", "info", "debug")], id="a key of a section"),
        pytest.param(
            {},
            {"streams": [{**A, "batch_timeout": "2s"}, B]},
            [Change("streams[A].batch_timeout", "1s", "2s")],
            id="a duration of an entry",
        ),
        pytest.param({}, {"streams": [B]}, [Change("streams[A]", "there", None)], id="an entry less"),
        pytest.param({"streams": [A]}, {}, [Change("streams[B]", None, "there")], id="an entry more"),
        pytest.param({}, {"streams": [B, A]}, [Change("streams", ["A", "B"], ["B", "A"])], id="their order"),
    ],
)
def test_each_difference_is_told_as_a_file_has_it(
    before: dict[str, Any], after: dict[str, Any], told: list[Change]
) -> None:
    """Keys have their paths, values the form in which a file has them."""
    assert told == differences(settings(**before), settings(**after))


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
def test_changed_secret_is_noticed_and_not_shown(before: dict[str, Any], after: dict[str, Any], key: str) -> None:
    """A password that changed is a difference; neither of the two can be read."""
    assert [Change(key, SECRET, SECRET)] == differences(settings(**before), settings(**after))


def test_new_secret_is_not_shown() -> None:
    """A password that was not there before is asterisks."""
    (change,) = differences(settings(), settings(nats={"token": "new-secret"}))

    assert (None, True) == (change.before, "new-secret" not in str(change.after))

"""Whether a command's settings are the running daemon's."""

from typing import Any

import pytest

from eventwriter.cli.daemon_mismatch import difference
from eventwriter.config.describe import effective
from eventwriter.config.settings import Settings


def shown(**given: Any) -> dict[str, Any]:
    """Return settings as a daemon shows them."""
    whole = {
        "nats": {"servers": ["nats://u:s3cret@n1:4222", "nats://n2:4222"]},
        "postgres": {"host": "p1", "port": "5433", "database": "db"},
        "streams": [stream("A")],
    }
    return effective(Settings.model_validate({**whole, **given}))


def stream(name: str, **given: Any) -> dict[str, Any]:
    """Return an entry."""
    return {"name": name, "stream_name": "events", "subjects": [f"{name}.>"], "kind": "telemetry", **given}


@pytest.mark.parametrize(
    "ours",
    [
        pytest.param({}, id="the same"),
        pytest.param({"nats": {"servers": ["nats://n2:4222", "nats://other:hidden@n1:4222"]}}, id="order and login"),
        pytest.param({"postgres": {"host": "p1", "port": "5433", "database": "db", "user": "me"}}, id="another role"),
        pytest.param({"streams": [stream("A"), stream("B", enabled=False)]}, id="an entry that is not enabled"),
    ],
)
def test_nothing_is_said_of_the_daemon_s_own_settings(ours: dict[str, Any]) -> None:
    """Settings that lead to the same servers and streams are the daemon's, whatever else differs."""
    assert None is difference(shown(**ours), shown())


@pytest.mark.parametrize(
    "ours",
    [
        pytest.param({"nats": {"servers": ["nats://n1:4222"]}}, id="nats"),
        pytest.param({"postgres": {"host": "p2", "port": "5433", "database": "db"}}, id="host"),
        pytest.param({"postgres": {"host": "p1", "database": "db"}}, id="port"),
        pytest.param({"postgres": {"host": "p1", "port": "5433", "database": "other"}}, id="database"),
        pytest.param({"postgres": {"dsn": "host=p1 port=5433 dbname=db"}}, id="a DSN"),
    ],
)
def test_other_servers_are_said_in_one_sentence(ours: dict[str, Any]) -> None:
    """Another NATS, host, port or database is said with the daemon's own servers, and no login of theirs."""
    expected = (
        "these are not the settings of the running daemon (its NATS nats://n1:4222, nats://n2:4222,"
        " its PostgreSQL p1:5433/db); give --config and use the daemon's environment"
    )
    assert expected == difference(shown(**ours), shown())


@pytest.mark.parametrize("ours", [[], [stream("A", stream_name="others")], [stream("A"), stream("B")]])
def test_other_streams_are_said_with_the_daemon_s(ours: list[dict[str, Any]]) -> None:
    """Other entries, or another stream of one, are said with the names of the daemon's entries."""
    assert ", its streams A); give --config" in (difference(shown(streams=ours), shown()) or "")


def test_dsn_of_the_daemon_is_not_shown() -> None:
    """Of a daemon with a DSN it is said only that it has one."""
    daemons = shown(postgres={"dsn": "postgresql://me:s3cret@p1/db"})
    assert "its PostgreSQL as given by its postgres.dsn)" in (difference(shown(), daemons) or "")

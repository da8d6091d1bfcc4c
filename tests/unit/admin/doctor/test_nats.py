"""What a version of nats-server comes to, and how full an account is."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.aio.client import ServerVersion

from eventwriter.admin.doctor.context import Context, create_context
from eventwriter.admin.doctor.findings import Finding, Reporter
from eventwriter.admin.doctor.nats import account_finding, version_finding
from eventwriter.config.settings import Settings
from eventwriter.config.stream_entries import EntryDefaults, build_entries
from eventwriter.jetstream.connect import NatsLink

VOICE = Reporter("NATS", "version")
ONE, TWO = ["a"], ["a", "b"]


def of_version(version: str, *filters: list[str]) -> Finding:
    """Return what is said of a server of that version, for entries with these subjects."""
    given = [{"name": f"S{at}", "subjects": each, "table": f"t{at}"} for at, each in enumerate(filters)]
    streams = tuple(build_entries(given, EntryDefaults("events"), []))
    case: Context = create_context(Settings.model_validate({"streams": streams}))
    client = SimpleNamespace(connected_server_version=ServerVersion(version))
    case.link = cast(NatsLink, SimpleNamespace(client=client))
    return version_finding(VOICE, case)


@pytest.mark.parametrize("version", ["2.8.4", "2.9.25"])
def test_old_server_fails_where_an_entry_has_several_filters(version: str) -> None:
    """Before 2.10 all filters of a consumer with several are ignored: the slots that have them are named, no others."""
    found = of_version(version, TWO, ONE, TWO)

    assert "fail" == str(found.status)
    assert found.message.startswith(f"nats-server {version} ignores multiple filters")
    assert found.message.endswith("which S0/0, S2/0 need")
    assert "2.10 or newer" in found.hint


def test_old_server_is_a_warning_where_each_entry_has_one_filter() -> None:
    """Before 2.10 the rest works, and what is lacking is said."""
    found = of_version("2.9.25", ONE)

    assert "warn" == str(found.status)
    assert found.message.startswith("nats-server 2.9.25 lacks consumers with several filter subjects")


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.10.0", "nats-server 2.10.0; it lacks partition(n) of"), ("2.12.6", "nats-server 2.12.6")],
)
def test_newer_server_is_well_with_several_filters(version: str, expected: str) -> None:
    """From 2.10 on several filters are well."""
    found = of_version(version, TWO)

    assert "ok" == str(found.status)
    assert found.message.startswith(expected)
    assert ("lacks" in expected) is ("lacks" in found.message)


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ({"streams": 3, "consumers": 4, "limits": {"max_storage": -1, "max_streams": -1}}, "ok", "3 streams, 4 cons"),
        ({"storage": 89, "limits": {"max_storage": 100}}, "ok", "0 streams"),
        ({"storage": 90, "limits": {"max_storage": 100}}, "warn", "90 of 100 file storage"),
        ({"memory": 95, "limits": {"max_memory": 100}}, "warn", "95 of 100 memory storage"),
        ({"streams": 10, "limits": {"max_streams": 10}}, "warn", "10 of 10 streams"),
        ({"consumers": 10, "limits": {"max_consumers": 10}}, "warn", "10 of 10 consumers"),
    ],
)
def test_account_that_is_nearly_full_is_a_warning(answer: dict[str, Any], status: str, words: str) -> None:
    """Nine tenths of any limit of the account are a warning, with what is short."""
    found = account_finding(VOICE, answer)

    assert status == str(found.status)
    assert words in found.message

"""Checks of NATS: connection, what the server lacks, account, clock; with the last come two looks at all streams."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from eventwriter import clock
from eventwriter.admin.doctor.context import Case, skew
from eventwriter.admin.doctor.filters import MULTIPLE_FILTERS, lacking
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.errors import EventwriterError, Fatal
from eventwriter.jetstream.api import ApiError, JetStreamApi, instant_ns
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.consumer import consumer_info
from eventwriter.jetstream.errors import without_credentials

_GROUP = "NATS"
_LOOK_S = 1.5
"""Between the two looks: long enough for a stream of a message a second to be seen growing."""
_FULL_SHARE = 0.9


def checks(case: Case) -> list[Check]:
    """Return the checks in order."""

    async def connection(voice: Reporter) -> Iterable[Finding]:
        return [await connect(voice, case)]

    async def version(voice: Reporter) -> Iterable[Finding]:
        return [version_finding(voice, case)]

    async def account(voice: Reporter) -> Iterable[Finding]:
        assert case.api is not None
        try:
            answer = await case.api.request("INFO")
        except Fatal as error:
            return [voice.warn(str(error), "without it doctor cannot look at the account; the daemon does not need it")]
        except EventwriterError as error:
            return [voice.fail(str(error), "enable JetStream for this account")]
        if isinstance(answer, ApiError):
            return [voice.fail(f"JetStream: {answer.description}", "enable JetStream for this account")]
        return [account_finding(voice, answer)]

    async def clocks(voice: Reporter) -> Iterable[Finding]:
        await two_looks(case)
        if case.nats_ahead_s is None:
            return [voice.skip("the server does not tell its time (before 2.10), or there is no stream")]
        return [skew(voice, "NATS", case.nats_ahead_s)]

    connected = f"{_GROUP}: connection"
    return [
        Check(_GROUP, "connection", connection, (f"{_GROUP}: names",)),
        Check(_GROUP, "version", version, (connected,)),
        Check(_GROUP, "JetStream", account, (connected,)),
        Check(_GROUP, "clock", clocks, (connected, f"{_GROUP}: JetStream")),
    ]


async def connect(voice: Reporter, case: Case) -> Finding:
    """Connect and log in; fills `case.link` and `case.api`."""
    settings = case.settings.nats
    case.link = NatsLink(settings, "eventwriter doctor")
    try:
        await case.link.connect()
    except EventwriterError as error:
        return voice.fail(error.message, error.hint or "see whether nats-server runs and listens there, and firewalls")
    case.api = JetStreamApi(case.link.client, settings.domain)
    url = case.link.client.connected_url
    return voice.ok(
        f"{without_credentials((url.netloc,)) if url else without_credentials(settings.servers)}, logged in"
    )


def version_finding(voice: Reporter, case: Case) -> Finding:
    """Say what the server's version lacks, and whether that is needed."""
    assert case.link is not None
    found = case.link.client.connected_server_version
    version = (found.major, found.minor)
    said = f"nats-server {found.major}.{found.minor}.{found.patch}"
    several = [str(slot.name) for slot in case.slots if len(slot.filters) > 1]
    if version < MULTIPLE_FILTERS and several:
        return voice.fail(
            f"{said} ignores all filters of a consumer that has several, and {', '.join(several)} need them",
            "update it to 2.10 or newer, or give each entry one subject",
        )
    lacks = lacking(version)
    if version < MULTIPLE_FILTERS:
        return voice.warn(f"{said} lacks {'; '.join(lacks)}", "update it when you can; 2.10 and newer are tested")
    return voice.ok(f"{said}; it lacks {'; '.join(lacks)}" if lacks else said)


def account_finding(voice: Reporter, answer: Mapping[str, Any]) -> Finding:
    """Hold what the account uses against what it may use."""
    limits = answer.get("limits") or {}
    for used, most, what in (
        ("storage", "max_storage", "file storage"),
        ("memory", "max_memory", "memory storage"),
        ("streams", "max_streams", "streams"),
        ("consumers", "max_consumers", "consumers"),
    ):
        limit = limits.get(most) or -1
        if limit > 0 and answer.get(used, 0) >= limit * _FULL_SHARE:
            return voice.warn(
                f"the account uses {answer.get(used, 0):,} of {limit:,} {what}",
                "raise the account's limit: publishers are refused when it is reached",
            )
    return voice.ok(f"{answer.get('streams', 0)} streams, {answer.get('consumers', 0)} consumers in the account")


async def two_looks(case: Case) -> None:
    """Look at every stream and consumer twice, some time apart; fills the case."""
    began_s = clock.monotonic_s()
    await _look(case)
    await asyncio.sleep(_LOOK_S if case.streams else 0)
    case.looked_s = clock.monotonic_s() - began_s
    await _look(case)


async def _look(case: Case) -> None:
    assert case.api is not None
    for stream in dict.fromkeys(slot.stream.stream_name for slot in case.slots):
        asked_ns = clock.now_ns()
        answer = await _asked(case.api, f"STREAM.INFO.{stream}")
        if answer is None:
            continue
        case.streams.setdefault(stream, []).append(answer)
        if told := answer.get("ts"):
            case.nats_ahead_s = (instant_ns(told) - (asked_ns + clock.now_ns()) // 2) / 1e9
    for slot in case.slots:
        if slot.stream.stream_name in case.streams:
            try:
                slot.consumer.append(await consumer_info(case.api, slot.stream.stream_name, slot.durable))
            except EventwriterError:
                slot.consumer.append(None)


async def _asked(api: JetStreamApi, verb: str) -> dict[str, Any] | None:
    try:
        answer = await api.request(verb)
    except EventwriterError:
        return None
    return None if isinstance(answer, ApiError) else answer

"""Checks of NATS: connection, server version, account and clock. The last also samples all streams twice."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from eventwriter import clock
from eventwriter.admin.doctor.context import Context, skew
from eventwriter.admin.doctor.filters import MULTIPLE_FILTERS, lacking
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.errors import EventwriterError, Fatal
from eventwriter.jetstream.api import ApiError, JetStreamApi, instant_ns
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.consumer import consumer_info
from eventwriter.jetstream.errors import without_credentials

_GROUP = "NATS"
_SAMPLE_S = 1.5
"""Time between the two samples, enough to see a stream with one message per second grow."""
_FULL_SHARE = 0.9


def checks(context: Context) -> list[Check]:
    """Return the checks of NATS in order."""

    async def connection(report: Reporter) -> Iterable[Finding]:
        return [await connect(report, context)]

    async def version(report: Reporter) -> Iterable[Finding]:
        return [version_finding(report, context)]

    async def account(report: Reporter) -> Iterable[Finding]:
        assert context.api is not None
        try:
            answer = await context.api.request("INFO")
        except Fatal as error:
            return [report.warn(str(error), "doctor cannot check the account without it; the daemon does not need it")]
        except EventwriterError as error:
            return [report.error(error, "enable JetStream for this account")]
        if isinstance(answer, ApiError):
            return [report.fail(f"JetStream: {answer.description}", "enable JetStream for this account")]
        return [account_finding(report, answer)]

    async def clocks(report: Reporter) -> Iterable[Finding]:
        await sample_twice(context)
        if context.nats_ahead_s is None:
            return [report.skip("the server does not report its time (before 2.10), or no stream exists")]
        return [skew(report, "NATS", context.nats_ahead_s)]

    connected = f"{_GROUP}: connection"
    return [
        Check(_GROUP, "connection", connection, (f"{_GROUP}: names",)),
        Check(_GROUP, "version", version, (connected,)),
        Check(_GROUP, "JetStream", account, (connected,)),
        Check(_GROUP, "clock", clocks, (connected, f"{_GROUP}: JetStream")),
    ]


async def connect(report: Reporter, context: Context) -> Finding:
    """Connect and log in; sets `context.link` and `context.api`."""
    settings = context.settings.nats
    context.link = NatsLink(settings, "eventwriter doctor")
    try:
        await context.link.connect()
    except EventwriterError as error:
        return report.error(error, "check that nats-server is running and listening there, and firewalls")
    context.api = JetStreamApi(context.link.client, settings.domain)
    url = context.link.client.connected_url
    return report.ok(
        f"{without_credentials((url.netloc,)) if url else without_credentials(settings.servers)}, logged in"
    )


def version_finding(report: Reporter, context: Context) -> Finding:
    """Check which features the server version lacks, and whether they are needed."""
    assert context.link is not None
    found = context.link.client.connected_server_version
    version = (found.major, found.minor)
    message = f"nats-server {found.major}.{found.minor}.{found.patch}"
    several = [str(slot.name) for slot in context.slots if len(slot.filters) > 1]
    if version < MULTIPLE_FILTERS and several:
        return report.fail(
            f"{message} ignores multiple filters of a consumer, which {', '.join(several)} need",
            "upgrade to 2.10 or newer, or give each entry one subject",
        )
    missing = lacking(version)
    if version < MULTIPLE_FILTERS:
        return report.warn(f"{message} lacks {'; '.join(missing)}", "upgrade when possible; 2.10 and newer are tested")
    return report.ok(f"{message}; it lacks {'; '.join(missing)}" if missing else message)


def account_finding(report: Reporter, answer: Mapping[str, Any]) -> Finding:
    """Check the usage of the account against its limits."""
    limits = answer.get("limits") or {}
    for used, limit_key, resource in (
        ("storage", "max_storage", "file storage"),
        ("memory", "max_memory", "memory storage"),
        ("streams", "max_streams", "streams"),
        ("consumers", "max_consumers", "consumers"),
    ):
        limit = limits.get(limit_key) or -1
        if limit > 0 and answer.get(used, 0) >= limit * _FULL_SHARE:
            return report.warn(
                f"the account uses {answer.get(used, 0):,} of {limit:,} {resource}",
                "raise the limit of the account; publishers are refused when it is reached",
            )
    return report.ok(f"{answer.get('streams', 0)} streams, {answer.get('consumers', 0)} consumers in the account")


async def sample_twice(context: Context) -> None:
    """Sample every stream and consumer twice; sets the fields of the context."""
    began_s = clock.monotonic_s()
    await _sample(context)
    await asyncio.sleep(_SAMPLE_S if context.streams else 0)
    context.sampled_s = clock.monotonic_s() - began_s
    await _sample(context)


async def _sample(context: Context) -> None:
    assert context.api is not None
    for stream in dict.fromkeys(slot.stream.stream_name for slot in context.slots):
        sent_ns = clock.now_ns()
        answer = await _request(context.api, f"STREAM.INFO.{stream}")
        if answer is None:
            continue
        context.streams.setdefault(stream, []).append(answer)
        if server_time := answer.get("ts"):
            context.nats_ahead_s = (instant_ns(server_time) - (sent_ns + clock.now_ns()) // 2) / 1e9
    for slot in context.slots:
        if slot.stream.stream_name in context.streams:
            try:
                slot.consumer.append(await consumer_info(context.api, slot.stream.stream_name, slot.durable))
            except EventwriterError:
                slot.consumer.append(None)


async def _request(api: JetStreamApi, verb: str) -> dict[str, Any] | None:
    try:
        answer = await api.request(verb)
    except EventwriterError:
        return None
    return None if isinstance(answer, ApiError) else answer

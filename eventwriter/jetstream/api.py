"""
JetStream's request/reply API as JSON, with its errors mapped.

Raw JSON rather than nats-py's manager classes, so that the configuration that the
server echoes can be compared with what was asked: old servers drop fields that
they do not know in silence.

Source: NATS documentation, "JetStream API Reference"; server error codes from
nats-server's errors.json.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import nats.errors
import orjson
from nats.aio.client import Client

from eventwriter.errors import Fatal, Retryable

_REQUEST_S_MAX = 5.0
"""How long an API answer may take; nats-server answers in milliseconds, a cluster that elects in seconds."""


@dataclass(frozen=True, slots=True)
class ApiError:
    """What the server said no with: an HTTP-like code, its own error code, its words."""

    code: int
    err_code: int
    description: str


class JetStreamApi:
    """Requests to one account's JetStream, in a domain where one is set."""

    def __init__(self, client: Client, domain: str | None = None) -> None:
        self._client = client
        self.prefix = f"$JS.{domain}.API" if domain else "$JS.API"

    async def request(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any] | ApiError:
        """
        Ask and return the answer, or the error that the server gave.

        Raises:
            Retryable: No answer in time, or JetStream is not there at the moment.
        """
        subject = f"{self.prefix}.{verb}"
        payload = orjson.dumps(body) if body is not None else b""
        try:
            answer = await self._client.request(subject, payload, timeout=_REQUEST_S_MAX)
        except nats.errors.NoRespondersError as error:
            raise Retryable(
                "JetStream does not answer: it is not enabled for this account, or has no leader"
            ) from error
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise Retryable(
                f"no answer from JetStream to {verb.split('.', 2)[0]} {verb} within {_REQUEST_S_MAX:g} s"
                " (the connection, or the permission to publish to it, is missing)"
            ) from error
        decoded: dict[str, Any] = orjson.loads(answer.data)
        failed = decoded.get("error")
        if failed:
            return ApiError(failed.get("code", 0), failed.get("err_code", 0), failed.get("description", ""))
        return decoded


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a worker needs to know of its stream."""

    name: str
    incarnation_ns: int
    """Creation time: nanoseconds since 1970 UTC."""
    first_seq: int
    last_seq: int
    subjects: tuple[str, ...]
    retention: str


def instant_ns(text: str) -> int:
    """Read RFC 3339 with up to nine fraction digits; nanoseconds since 1970 UTC."""
    whole, _, rest = text.partition(".")
    digits = ""
    while rest and rest[0].isdigit():
        digits, rest = digits + rest[0], rest[1:]
    zone = rest if digits else ""
    base = dt.datetime.fromisoformat(whole + zone if digits else text)
    if base.tzinfo is None:
        base = base.replace(tzinfo=dt.UTC)
    delta = base - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (delta.days * 86400 + delta.seconds) * 1_000_000_000 + int((digits + "000000000")[:9])


async def stream_state(api: JetStreamApi, stream: str) -> StreamState:
    """
    Look a stream up.

    Raises:
        Fatal: There is no such stream.
        Retryable: The API does not answer.
    """
    answer = await api.request(f"STREAM.INFO.{stream}")
    if isinstance(answer, ApiError):
        if answer.code == 404:
            raise Fatal(
                f"JetStream has no stream {stream!r}: create it (nats stream add {stream}),"
                " or set stream_name to one that exists"
            )
        raise Retryable(f"JetStream cannot describe stream {stream!r}: {answer.description}")
    state, config = answer["state"], answer["config"]
    return StreamState(
        name=stream,
        incarnation_ns=instant_ns(answer["created"]),
        first_seq=state["first_seq"],
        last_seq=state["last_seq"],
        subjects=tuple(config.get("subjects") or ()),
        retention=config.get("retention", "limits"),
    )

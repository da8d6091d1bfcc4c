"""
JetStream's request/reply API as JSON, with its errors mapped.

It uses raw JSON instead of nats-py's manager classes, so that the configuration in an answer can be compared with the
request: old servers silently drop fields that they do not support.

Source: NATS documentation, "JetStream API Reference"; server error codes from
nats-server's errors.json.
"""

import base64
import datetime as dt
from dataclasses import dataclass
from typing import Any

import nats.errors
import orjson

from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.client import DirectClient
from eventwriter.model import Message

_REQUEST_S_MAX = 5.0
"""Time limit for an API answer; nats-server answers in milliseconds, a cluster that elects a leader in seconds."""
_REPLICA_ACTIVE_NS = 10 * 1_000_000_000
"""A replica that has been silent for longer does not count; nats-server sends heartbeats every second."""


@dataclass(frozen=True, slots=True)
class ApiError:
    """Error in a JetStream API answer: an HTTP-like code, the server's own error code and its description."""

    code: int
    err_code: int
    description: str


class JetStreamApi:
    """JetStream API of one account, and of one domain if it is set."""

    def __init__(self, client: DirectClient, domain: str | None = None) -> None:
        self._client = client
        self.prefix = f"$JS.{domain}.API" if domain else "$JS.API"

    @property
    def server_version(self) -> tuple[int, int]:
        """The connected server's major and minor version; other servers of a cluster may differ during an upgrade."""
        version = self._client.connected_server_version
        return version.major, version.minor

    async def request(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any] | ApiError:
        """
        Send a request and return the answer, or the server's error.

        Raises:
            Retryable: No answer arrived in time, or JetStream is unavailable.
            Fatal: The NATS user has no permission for this request.
        """
        subject = f"{self.prefix}.{verb}"
        payload = orjson.dumps(body) if body is not None else b""
        try:
            answer = await self._client.ask(subject, payload, _REQUEST_S_MAX)
        except nats.errors.NoRespondersError as error:
            raise Retryable(
                "JetStream does not answer: it is not enabled for this account, or has no leader",
                code="jetstream_unavailable",
            ) from error
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise Retryable(
                f"no answer from JetStream to {subject} within {_REQUEST_S_MAX:g} s: {str(error) or 'timed out'}",
                code="jetstream_unavailable",
            ) from error
        decoded: dict[str, Any] = orjson.loads(answer.data)
        failed = decoded.get("error")
        if failed:
            return ApiError(failed.get("code", 0), failed.get("err_code", 0), failed.get("description", ""))
        return decoded


@dataclass(frozen=True, slots=True)
class StreamState:
    """
    State of a stream.

    Attributes:
        leader: Name of the stream's leader in a cluster; empty for a server without a cluster.
        is_current: Whether the answer comes from a leader that has contact to a majority of the stream's replicas.
            The answer of a node that was cut off, or of a leader that was stopped and resumes, is not.
        incarnation_ns: Creation time: nanoseconds since 1970 UTC, in whole microseconds, as PostgreSQL stores it.
        now_ns: The server's clock when it answered: nanoseconds since 1970 UTC; 0 before NATS 2.10.
    """

    name: str
    incarnation_ns: int
    first_seq: int
    last_seq: int
    subjects: tuple[str, ...]
    retention: str
    now_ns: int = 0
    leader: str = ""
    is_current: bool = True


def instant_ns(text: str) -> int:
    """Parse an RFC 3339 timestamp with up to nine fraction digits; return nanoseconds since 1970 UTC."""
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
    Return the state of a stream.

    Raises:
        Fatal: The stream does not exist.
        Retryable: The API does not answer.
    """
    answer = await api.request(f"STREAM.INFO.{stream}")
    if isinstance(answer, ApiError):
        if answer.code == 404:
            raise Fatal(
                f"JetStream has no stream {stream!r}",
                code="stream_missing",
                hint=f"create it (nats stream add {stream}), or set stream_name to an existing stream",
            )
        raise Retryable(
            f"JetStream cannot describe stream {stream!r}: {answer.description}", code="jetstream_unavailable"
        )
    return state_of(stream, answer)


def state_of(stream: str, answer: dict[str, Any]) -> StreamState:
    """Return the state in a STREAM.INFO answer."""
    state, config = answer["state"], answer["config"]
    return StreamState(
        name=stream,
        incarnation_ns=instant_ns(answer["created"]) // 1000 * 1000,
        first_seq=state["first_seq"],
        last_seq=state["last_seq"],
        subjects=tuple(config.get("subjects") or ()),
        retention=config.get("retention", "limits"),
        now_ns=instant_ns(answer["ts"]) if answer.get("ts") else 0,
        leader=(answer.get("cluster") or {}).get("leader") or "",
        is_current=has_quorum(answer.get("cluster")),
    )


def has_quorum(cluster: dict[str, Any] | None) -> bool:
    """
    Return whether the answering server is a leader with contact to a majority of replicas; pure.

    Args:
        cluster: The field of STREAM.INFO or CONSUMER.INFO; None from a server without a cluster.
    """
    if cluster is None:
        return True
    replicas = cluster.get("replicas") or []
    active = sum(
        bool(replica.get("current")) and not replica.get("offline") and replica.get("active", 0) <= _REPLICA_ACTIVE_NS
        for replica in replicas
    )
    return bool(cluster.get("leader")) and 2 * (active + 1) > len(replicas) + 1


async def stored_us(api: JetStreamApi, stream: str, seq: int) -> int | None:
    """
    Return when the message of a sequence was stored, in microseconds since 1970 UTC.

    Returns None if there is no such message, or if the NATS user has no permission to fetch it.

    Raises:
        Retryable: The API does not answer.
    """
    try:
        answer = await api.request(f"STREAM.MSG.GET.{stream}", {"seq": seq})
    except Fatal:
        return None
    return None if isinstance(answer, ApiError) else instant_ns(answer["message"]["time"]) // 1000


async def stored_message(api: JetStreamApi, stream: str, seq: int) -> Message:
    """
    Fetch one message from a stream by its sequence, independently of consumers.

    Raises:
        Fatal: The stream, or a message of that sequence, does not exist.
        Retryable: The API does not answer.

    Source: NATS documentation, "JetStream API Reference", STREAM.MSG.GET.
    """
    answer = await api.request(f"STREAM.MSG.GET.{stream}", {"seq": seq})
    if isinstance(answer, ApiError):
        if answer.code != 404:
            raise Retryable(
                f"JetStream cannot return message {seq} of stream {stream!r}: {answer.description}",
                code="jetstream_unavailable",
            )
        state = await stream_state(api, stream)
        raise Fatal(
            f"stream {stream!r} has no message {seq}",
            code="message_missing",
            hint=f"it holds messages {state.first_seq} to {state.last_seq}, except for deleted ones",
        )
    return message_of(answer["message"])


def message_of(stored: dict[str, Any]) -> Message:
    """Return the message in a STREAM.MSG.GET answer; it was not delivered, so its consumer sequence is meaningless."""
    headers = _headers(base64.b64decode(stored["hdrs"])) if stored.get("hdrs") else None
    payload = base64.b64decode(stored.get("data") or "")
    seq = stored["seq"]
    return Message("", stored["subject"], payload, headers, seq, seq, 1, instant_ns(stored["time"]))


def _headers(block: bytes) -> dict[str, str]:
    """Parse a NATS header block: a version line, then `Name: value` lines."""
    lines = block.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}

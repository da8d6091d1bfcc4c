"""
JetStream's request/reply API as JSON, with its errors mapped.

Raw JSON rather than nats-py's manager classes, so that the configuration that the
server echoes can be compared with what was asked: old servers drop fields that
they do not know in silence.

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
"""How long an API answer may take; nats-server answers in milliseconds, a cluster that elects in seconds."""


@dataclass(frozen=True, slots=True)
class ApiError:
    """What the server said no with: an HTTP-like code, its own error code, its words."""

    code: int
    err_code: int
    description: str


class JetStreamApi:
    """Requests to one account's JetStream, in a domain where one is set."""

    def __init__(self, client: DirectClient, domain: str | None = None) -> None:
        self._client = client
        self.prefix = f"$JS.{domain}.API" if domain else "$JS.API"

    @property
    def server_version(self) -> tuple[int, int]:
        """The connected server's major and minor version. In a cluster the others may differ, for a while."""
        version = self._client.connected_server_version
        return version.major, version.minor

    async def request(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any] | ApiError:
        """
        Ask and return the answer, or the error that the server gave.

        Raises:
            Retryable: No answer in time, or JetStream is not there at the moment.
            Fatal: We have no permission to ask that.
        """
        subject = f"{self.prefix}.{verb}"
        payload = orjson.dumps(body) if body is not None else b""
        try:
            answer = await self._client.ask(subject, payload, _REQUEST_S_MAX)
        except nats.errors.NoRespondersError as error:
            raise Retryable(
                "JetStream does not answer: it is not enabled for this account, or has no leader"
            ) from error
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise Retryable(
                f"no answer from JetStream to {subject} within {_REQUEST_S_MAX:g} s: {str(error) or 'it is silent'}"
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
    """Creation time: nanoseconds since 1970 UTC, whole microseconds, as ledger and dead letters can hold it."""
    first_seq: int
    last_seq: int
    subjects: tuple[str, ...]
    retention: str
    now_ns: int = 0
    """The server's clock when it answered: nanoseconds since 1970 UTC; 0 where it does not tell (before 2.10)."""


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
    return state_of(stream, answer)


def state_of(stream: str, answer: dict[str, Any]) -> StreamState:
    """Read STREAM.INFO's answer."""
    state, config = answer["state"], answer["config"]
    return StreamState(
        name=stream,
        incarnation_ns=instant_ns(answer["created"]) // 1000 * 1000,
        first_seq=state["first_seq"],
        last_seq=state["last_seq"],
        subjects=tuple(config.get("subjects") or ()),
        retention=config.get("retention", "limits"),
        now_ns=instant_ns(answer["ts"]) if answer.get("ts") else 0,
    )


async def stored_us(api: JetStreamApi, stream: str, seq: int) -> int | None:
    """
    Return when the message of a sequence was stored: microseconds since 1970 UTC.

    None where there is none, or we may not ask: then nothing is known.

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
    Fetch one message from a stream, wherever its consumers are.

    Raises:
        Fatal: There is no such stream, or no message of that sequence in it.
        Retryable: The API does not answer.

    Source: NATS documentation, "JetStream API Reference", STREAM.MSG.GET.
    """
    answer = await api.request(f"STREAM.MSG.GET.{stream}", {"seq": seq})
    if isinstance(answer, ApiError):
        if answer.code != 404:
            raise Retryable(f"JetStream cannot give message {seq} of {stream!r}: {answer.description}")
        state = await stream_state(api, stream)
        raise Fatal(
            f"stream {stream!r} has no message {seq}: it holds {state.first_seq} to {state.last_seq},"
            " less what was deleted"
        )
    return message_of(answer["message"])


def message_of(stored: dict[str, Any]) -> Message:
    """Read a message as STREAM.MSG.GET answers it; it was not delivered, so its consumer sequence means nothing."""
    headers = _headers(base64.b64decode(stored["hdrs"])) if stored.get("hdrs") else None
    payload = base64.b64decode(stored.get("data") or "")
    seq = stored["seq"]
    return Message("", stored["subject"], payload, headers, seq, seq, 1, instant_ns(stored["time"]))


def _headers(block: bytes) -> dict[str, str]:
    """Read NATS's header block: a version line, then `Name: value` lines."""
    lines = block.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}

"""
The durable consumer: looked up, created if missing, updated where NATS allows it.

It is never deleted, because its position belongs to the operator. If it differs in a setting that NATS cannot change,
the slot is parked with the difference in the message.
"""

import logging
from dataclasses import dataclass
from typing import Any

from eventwriter.config.settings import StreamSettings
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.api import ApiError, JetStreamApi
from eventwriter.model import HELD_BATCHES_MAX

log = logging.getLogger(__name__)

FIXED = ("ack_policy", "deliver_subject", "replay_policy", "headers_only")
"""Settings that NATS cannot change on an existing consumer, or that make it unusable for a worker."""
_CHANGEABLE = ("ack_wait", "max_deliver", "max_ack_pending", "filter_subjects")

_CONSUMER_NOT_FOUND = 10014
_CONSUMER_EXISTS, _CONSUMER_MISSING = 10148, 10149
"""Error codes of `action` create and update after another client was faster."""
_RESET_SINCE = (2, 14)
"""Release of nats-server that introduced CONSUMER.RESET."""
_SEVERAL_FILTERS_SINCE = (2, 10)
"""Release of nats-server that introduced several filter subjects."""
_ACK_PENDING_MARGIN = 1000
"""Added to `max_ack_pending` for redeliveries."""

DESCRIPTION = "eventwriter: rows to PostgreSQL"
"""Description of consumers that eventwriter created; one with another description may have served another writer."""

Differences = dict[str, tuple[Any, Any]]
"""Setting → (actual, expected)."""


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """
    Specification of a slot's durable.

    Attributes:
        start_time: Where it starts if the ledger has no floor, RFC 3339; None for the stream's first message.
    """

    stream: str
    durable: str
    filter_subjects: tuple[str, ...]
    ack_wait_s: float
    max_ack_pending: int
    start_time: str | None = None

    def config(self) -> dict[str, Any]:
        """Return JetStream's consumer configuration."""
        config: dict[str, Any] = {
            "name": self.durable,
            "durable_name": self.durable,
            "description": DESCRIPTION,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "replay_policy": "instant",
            "ack_wait": round(self.ack_wait_s * 1e9),
            # Unlimited: eventwriter writes dead letters, and the server must not drop messages.
            "max_deliver": -1,
            "max_ack_pending": self.max_ack_pending,
        }
        return config | filter_config(self.filter_subjects)


def consumer_spec(stream: StreamSettings, durable: str, filters: tuple[str, ...]) -> ConsumerSpec:
    """Return the specification of a stream entry's durable over the subjects `filters`."""
    workers = stream.partitions if stream.is_shared else 1
    # Everything that the workers may hold, one batch more under way to each, and a margin for redeliveries.
    max_ack_pending = workers * (HELD_BATCHES_MAX + 1) * stream.max_batch_size + _ACK_PENDING_MARGIN
    return ConsumerSpec(stream.stream_name, durable, filters, stream.ack_wait_s, max_ack_pending, stream.start)


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """
    State of a consumer.

    Attributes:
        start_seq: First sequence of the consumer; None if unknown (deliver policies by time, new and last).
        paused_until: End of the pause that an operator set in JetStream (`nats consumer pause`), RFC 3339; None if
            the consumer is not paused.
    """

    created: str
    delivered_consumer_seq: int
    delivered_stream_seq: int
    ack_floor_stream_seq: int
    ack_pending: int
    pending: int
    start_seq: int | None
    paused_until: str | None = None

    @classmethod
    def of(cls, info: dict[str, Any]) -> "ConsumerState":
        """Return the state in a CONSUMER.INFO answer."""
        config = info["config"]
        starts = {"all": 1, "by_start_sequence": config.get("opt_start_seq") or 1}
        return cls(
            created=info["created"],
            delivered_consumer_seq=info["delivered"]["consumer_seq"],
            delivered_stream_seq=info["delivered"]["stream_seq"],
            ack_floor_stream_seq=info["ack_floor"]["stream_seq"],
            ack_pending=info["num_ack_pending"],
            pending=info["num_pending"],
            start_seq=starts.get(config.get("deliver_policy", "")),
            paused_until=config.get("pause_until", "an unknown time") if info.get("paused") else None,
        )


def filter_config(subjects: tuple[str, ...]) -> dict[str, Any]:
    """Return the filter settings; a single subject uses the key that servers before 2.10 understand."""
    if len(subjects) == 1:
        return {"filter_subject": subjects[0]}
    return {"filter_subjects": list(subjects)}


def subjects_of(config: dict[str, Any]) -> list[str]:
    """Return the filter subjects of a consumer configuration, under either key; empty if there is no filter."""
    return config.get("filter_subjects") or ([config["filter_subject"]] if config.get("filter_subject") else [])


def differences(expected: dict[str, Any], actual: dict[str, Any]) -> Differences:
    """
    Return the settings that differ between two consumer configurations, as setting → (actual, expected); pure.

    A larger `max_ack_pending` than expected is no difference: hosts with different `partitions` share a durable, and
    would otherwise change it back and forth.
    """
    expected, actual = _comparable(expected), _comparable(actual)
    if _is_larger(actual["max_ack_pending"], expected["max_ack_pending"]):
        actual["max_ack_pending"] = expected["max_ack_pending"]
    return {
        key: (actual.get(key), expected.get(key))
        for key in (*FIXED, *_CHANGEABLE)
        if actual.get(key) != expected.get(key)
    }


def _is_larger(actual: int | None, expected: int | None) -> bool:
    """Return whether a limit is larger than another one; -1 is unlimited."""
    return actual is not None and expected is not None and (actual == -1 or actual > expected >= 0)


def _comparable(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "ack_policy": config.get("ack_policy"),
        "deliver_subject": config.get("deliver_subject") or None,
        "replay_policy": config.get("replay_policy"),
        "headers_only": bool(config.get("headers_only")),
        "ack_wait": config.get("ack_wait"),
        "max_deliver": config.get("max_deliver"),
        "max_ack_pending": config.get("max_ack_pending"),
        "filter_subjects": sorted(subjects_of(config)),
    }


async def consumer_info(api: JetStreamApi, stream: str, durable: str) -> dict[str, Any] | None:
    """
    Return the answer to CONSUMER.INFO, or None if the consumer does not exist.

    Raises:
        Retryable: The API does not answer.
    """
    answer = await api.request(f"CONSUMER.INFO.{stream}.{durable}")
    if not isinstance(answer, ApiError):
        return answer
    if answer.err_code == _CONSUMER_NOT_FOUND or answer.code == 404:
        return None
    raise Retryable(
        f"JetStream cannot describe consumer {durable!r} of stream {stream!r}: {answer.description}",
        code="jetstream_unavailable",
    )


async def ensure(api: JetStreamApi, spec: ConsumerSpec, start_seq: int | None, *, create: bool = True) -> ConsumerState:
    """
    Create the consumer if it is missing, or update it to match the specification.

    Args:
        start_seq: Where a missing consumer starts: the first stream sequence that the ledger does not have. If None,
            the specification decides.
        create: Whether a missing consumer is created.

    Raises:
        Fatal: The consumer differs in a setting that NATS cannot change, or the server rejects or silently drops a
            setting.
        Retryable: The API does not answer, or the consumer is missing and is not to be created.
    """
    expected = spec.config()
    if len(spec.filter_subjects) > 1 and api.server_version < _SEVERAL_FILTERS_SINCE:
        raise _too_many_filters(api, spec)
    info = await consumer_info(api, spec.stream, spec.durable)
    if info is None and not create:
        raise Retryable(f"consumer {spec.durable!r} of stream {spec.stream!r} is missing", code="consumer_gone")
    if info is None:
        expected |= start_config(spec, start_seq)
        info = await _put(api, spec, expected, "create")
        from_seq = info["delivered"]["stream_seq"] + 1
        log.info("consumer created", extra={"durable": spec.durable, "stream": spec.stream, "from_seq": from_seq})
    else:
        changes = differences(expected, info["config"])
        _refuse(spec, {key: values for key, values in changes.items() if key in FIXED})
        if changes:
            info = await _update(api, spec, info["config"], changes, start_seq)
    _refuse(spec, differences(expected, info["config"]))
    return ConsumerState.of(info)


def start_config(spec: ConsumerSpec, start_seq: int | None) -> dict[str, Any]:
    """
    Return JetStream's settings for the start of a missing consumer; pure.

    An operator configures a time and not a sequence: after a stream was recreated or went backwards, a sequence
    belongs to another message, and messages before it would be skipped.
    """
    if start_seq is not None:
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": start_seq}
    if spec.start_time is not None:
        return {"deliver_policy": "by_start_time", "opt_start_time": spec.start_time}
    return {}


def _too_many_filters(api: JetStreamApi, spec: ConsumerSpec) -> Fatal:
    return Fatal(
        f"consumer {spec.durable!r} of stream {spec.stream!r} needs {len(spec.filter_subjects)} filter subjects"
        f" ({', '.join(spec.filter_subjects)}), but NATS {'.'.join(map(str, api.server_version))} supports only one and"
        " would deliver every message",
        code="consumer_filters_unsupported",
        hint="upgrade NATS to 2.10, give each subject a stream entry of its own, or use one subject with wildcards",
    )


async def _update(
    api: JetStreamApi, spec: ConsumerSpec, actual: dict[str, Any], changes: Differences, start_seq: int | None
) -> dict[str, Any]:
    """
    Update the consumer's changeable settings; return CONSUMER.INFO's answer.

    With another filter the consumer has skipped messages that it would not deliver any more. If the ledger has a
    floor, the consumer is therefore reset to it; the ledger recognizes messages that are written already.
    """
    expected, skipped = spec.config(), "filter_subjects" in changes and start_seq is not None
    if skipped and api.server_version < _RESET_SINCE:
        raise Fatal(
            f"consumer {spec.durable!r} of stream {spec.stream!r} had another filter ({_describe(changes)}) and has"
            " skipped messages, but NATS before 2.14 cannot reset it",
            code="consumer_reset_unsupported",
            hint=f"remove the consumer (nats consumer rm {spec.stream} {spec.durable}); it is created again at"
            f" sequence {start_seq}, where the ledger ends, and nothing is written twice",
        )
    log.warning("consumer updated", extra={"durable": spec.durable, "changed": _describe(changes)})
    merged = {key: value for key, value in actual.items() if key not in ("filter_subject", "filter_subjects")}
    merged |= {key: expected[key] for key in changes if key in expected} | filter_config(spec.filter_subjects)
    info = await _put(api, spec, merged, "update")
    if skipped:
        answer = await api.request(f"CONSUMER.RESET.{spec.stream}.{spec.durable}", {"seq": start_seq})
        if isinstance(answer, ApiError):
            raise _rejected(spec, "reset", answer)
        log.warning("consumer reset", extra={"durable": spec.durable, "from_seq": start_seq})
        return answer
    return info


async def _put(api: JetStreamApi, spec: ConsumerSpec, config: dict[str, Any], action: str) -> dict[str, Any]:
    # `action` keeps two starting workers from overwriting each other's settings; servers before 2.10 ignore it.
    body = {"stream_name": spec.stream, "config": config, "action": action}
    answer = await api.request(f"CONSUMER.DURABLE.CREATE.{spec.stream}.{spec.durable}", body)
    if isinstance(answer, ApiError):
        raise _rejected(spec, action, answer)
    return answer


def _rejected(spec: ConsumerSpec, action: str, error: ApiError) -> Fatal | Retryable:
    message = f"NATS cannot {action} consumer {spec.durable!r} of stream {spec.stream!r}: {error.description}"
    if error.code in (500, 503) or error.err_code in (_CONSUMER_EXISTS, _CONSUMER_MISSING):
        # Unavailable, or another worker was faster: the next attempt looks the consumer up again.
        return Retryable(message, code="jetstream_unavailable")
    return Fatal(
        message,
        code="consumer_rejected",
        hint=f"check the entry's settings; the filter subjects are {', '.join(spec.filter_subjects)}",
    )


def _refuse(spec: ConsumerSpec, changes: Differences) -> None:
    if changes:
        raise Fatal(
            f"consumer {spec.durable!r} of stream {spec.stream!r} has settings that cannot be changed or that this"
            f" server does not support: {_describe(changes)}",
            code="consumer_differs",
            hint="give the stream entry another durable, or remove the consumer",
        )


def _describe(changes: Differences) -> str:
    return ", ".join(f"{key} is {actual!r} instead of {expected!r}" for key, (actual, expected) in changes.items())

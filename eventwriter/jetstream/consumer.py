"""
The durable consumer: looked up, created if missing, updated where NATS can.

Never deleted: a consumer's position is somebody's data. Where one differs in what
NATS cannot change, the slot refuses to start and prints the difference.
"""

import logging
from dataclasses import dataclass
from typing import Any

from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.api import ApiError, JetStreamApi

log = logging.getLogger(__name__)

FIXED = ("ack_policy", "deliver_subject", "replay_policy", "headers_only")
"""Settings that NATS cannot change on an existing consumer, or that would make it useless to us."""
_CHANGEABLE = ("ack_wait", "max_deliver", "max_ack_pending", "filter_subjects")

_CONSUMER_NOT_FOUND = 10014
_RESET_SINCE = (2, 14)
_FILTERS_SINCE = (2, 10)
"""Servers that know CONSUMER.RESET, and more than one filter subject."""

DESCRIPTION = "eventwriter: rows to PostgreSQL"
"""What a consumer says that eventwriter made; one of another origin may have been another writer's before."""


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """What a slot wants its durable to be."""

    stream: str
    durable: str
    filter_subjects: tuple[str, ...]
    ack_wait_s: float
    max_ack_pending: int
    start_time: str | None = None
    """Where it begins where the ledger has no floor, RFC 3339; None for the stream's first message."""

    def config(self) -> dict[str, Any]:
        """Return the wish as JetStream's consumer configuration."""
        wanted: dict[str, Any] = {
            "name": self.durable,
            "durable_name": self.durable,
            "description": DESCRIPTION,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "replay_policy": "instant",
            "ack_wait": round(self.ack_wait_s * 1e9),
            # Never give up: dead letters are this program's to write, not the server's to drop.
            "max_deliver": -1,
            "max_ack_pending": self.max_ack_pending,
        }
        return wanted | filters(self.filter_subjects)


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """What JetStream says of a consumer."""

    created: str
    delivered_consumer_seq: int
    delivered_stream_seq: int
    ack_floor_stream_seq: int
    ack_pending: int
    pending: int
    start_seq: int | None
    """Where it began; None where that is not known (deliver policies by time, new, last)."""

    @classmethod
    def of(cls, info: dict[str, Any]) -> "ConsumerState":
        """Read a CONSUMER.INFO answer."""
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
        )


def filters(subjects: tuple[str, ...]) -> dict[str, Any]:
    """Return the filter as the oldest servers understand it: a single one by its own key."""
    if len(subjects) == 1:
        return {"filter_subject": subjects[0]}
    return {"filter_subjects": list(subjects)}


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs, as key → (found, wanted), filters in their one comparable form; pure."""
    wanted, found = _comparable(wanted), _comparable(found)
    return {
        key: (found.get(key), wanted.get(key)) for key in (*FIXED, *_CHANGEABLE) if found.get(key) != wanted.get(key)
    }


def subjects_of(config: dict[str, Any]) -> list[str]:
    """Return the filter of a consumer's configuration, whichever key it stands under; empty for everything."""
    return config.get("filter_subjects") or ([config["filter_subject"]] if config.get("filter_subject") else [])


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
    Return CONSUMER.INFO's answer, or None where the consumer does not exist.

    Raises:
        Retryable: The API does not answer.
    """
    answer = await api.request(f"CONSUMER.INFO.{stream}.{durable}")
    if not isinstance(answer, ApiError):
        return answer
    if answer.err_code == _CONSUMER_NOT_FOUND or answer.code == 404:
        return None
    raise Retryable(f"JetStream cannot describe consumer {durable!r} of {stream!r}: {answer.description}")


async def ensure(api: JetStreamApi, wish: ConsumerSpec, start_seq: int | None) -> ConsumerState:
    """
    Have the consumer exist as wished.

    Args:
        start_seq: Where a *missing* consumer begins: the first stream sequence that
            the ledger does not know; None where the wish says where.

    Raises:
        Fatal: It exists and differs in what NATS cannot change, or the server
            refuses or silently drops what was asked; the sentence has the difference.
        Retryable: The API does not answer.
    """
    wanted = wish.config()
    if len(wish.filter_subjects) > 1 and api.server_version < _FILTERS_SINCE:
        raise Fatal(_one_filter_only(api, wish))
    info = await consumer_info(api, wish.stream, wish.durable)
    if info is None:
        wanted |= begin(wish, start_seq)
        info = await _put(api, wish, wanted, "create")
        began = info["delivered"]["stream_seq"] + 1
        log.info("consumer created", extra={"durable": wish.durable, "stream": wish.stream, "from_seq": began})
    else:
        different = differences(wanted, info["config"])
        _refuse(wish, {k: v for k, v in different.items() if k in FIXED})
        if different:
            info = await _update(api, wish, info["config"], different, start_seq)
    _refuse(wish, differences(wanted, info["config"]))
    return ConsumerState.of(info)


def begin(wish: ConsumerSpec, start_seq: int | None) -> dict[str, Any]:
    """
    Return where a missing consumer begins, as JetStream's settings; pure.

    A time and no sequence of the operator's: in a stream made anew, or one that went backwards, the same sequences are
    other messages, and none of those may be left out.
    """
    if start_seq is not None:
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": start_seq}
    if wish.start_time is not None:
        return {"deliver_policy": "by_start_time", "opt_start_time": wish.start_time}
    return {}


def _one_filter_only(api: JetStreamApi, wish: ConsumerSpec) -> str:
    return (
        f"consumer {wish.durable!r} of stream {wish.stream!r} needs {len(wish.filter_subjects)} filter subjects"
        f" ({', '.join(wish.filter_subjects)}), and this NATS is a {'.'.join(map(str, api.server_version))}: servers"
        " before 2.10 know one only, and would deliver everything; give each subject a stream's entry of its own, or"
        " one subject with wildcards that has them all"
    )


async def _update(
    api: JetStreamApi, wish: ConsumerSpec, found: dict[str, Any], different: dict[str, tuple[Any, Any]],
    start_seq: int | None,
) -> dict[str, Any]:  # fmt: skip
    """
    Have the consumer's changeable settings as wished; return CONSUMER.INFO's answer.

    While a consumer has another filter, it passes over what that does not want, and does not come back to it. So one
    that delivered for this filter before (the ledger has a floor) is set back to there; the ledger knows the rest.
    """
    wanted, passed_over = wish.config(), "filter_subjects" in different and start_seq is not None
    if passed_over and api.server_version < _RESET_SINCE:
        raise Fatal(
            f"consumer {wish.durable!r} of stream {wish.stream!r} has another filter than before ({_told(different)}):"
            f" it has passed over messages meanwhile, and NATS before 2.14 cannot set it back; remove the consumer"
            f" (nats consumer rm {wish.stream} {wish.durable}): it is made anew from sequence {start_seq}, where the"
            " ledger ends, and nothing is written twice"
        )
    log.warning("consumer updated", extra={"durable": wish.durable, "changed": _told(different)})
    merged = {k: v for k, v in found.items() if k not in ("filter_subject", "filter_subjects")}
    merged |= {k: wanted[k] for k in different if k in wanted} | filters(wish.filter_subjects)
    info = await _put(api, wish, merged, "update")
    if passed_over:
        answer = await api.request(f"CONSUMER.RESET.{wish.stream}.{wish.durable}", {"seq": start_seq})
        if isinstance(answer, ApiError):
            raise _refusal(wish, "reset", answer)
        log.warning("consumer set back", extra={"durable": wish.durable, "from_seq": start_seq})
        return answer
    return info


async def _put(api: JetStreamApi, wish: ConsumerSpec, config: dict[str, Any], action: str) -> dict[str, Any]:
    # `action` keeps two starters from overwriting each other; servers before 2.10 ignore it.
    body = {"stream_name": wish.stream, "config": config, "action": action}
    verb = f"CONSUMER.DURABLE.CREATE.{wish.stream}.{wish.durable}"
    answer = await api.request(verb, body)
    if isinstance(answer, ApiError):
        raise _refusal(wish, action, answer)
    return answer


def _refusal(wish: ConsumerSpec, action: str, error: ApiError) -> Fatal | Retryable:
    words = f"NATS will not {action} consumer {wish.durable!r} of stream {wish.stream!r}: {error.description}"
    if error.code in (500, 503) or error.err_code in (10148, 10149):
        # Unavailable, or another starter was first: look again.
        return Retryable(words)
    return Fatal(f"{words}; filter subjects are {', '.join(wish.filter_subjects)}")


def _refuse(wish: ConsumerSpec, different: dict[str, tuple[Any, Any]]) -> None:
    if different:
        raise Fatal(
            f"consumer {wish.durable!r} of stream {wish.stream!r} differs in what cannot be changed or is not known"
            f" to this server: {_told(different)}; give the stream's entry another durable, or remove the consumer"
            " yourself"
        )


def _told(different: dict[str, tuple[Any, Any]]) -> str:
    return "; ".join(f"{key} is {found!r}, wanted {wanted!r}" for key, (found, wanted) in different.items())

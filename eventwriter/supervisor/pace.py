"""How fast a slot is: rates, the change of its lag, and for how long it has stood still. Pure."""

from eventwriter.supervisor.slot import Slot


def rates(slot: Slot) -> tuple[float, float]:
    """Return messages and rows per second over the last heartbeats."""
    samples = list(slot.worker.samples) if slot.worker else []
    if len(samples) < 2 or samples[-1][0] <= samples[0][0]:
        return 0.0, 0.0
    (first_s, messages, rows), (last_s, messages_now, rows_now) = samples[0], samples[-1]
    passed_s = last_s - first_s
    return round((messages_now - messages) / passed_s, 1), round((rows_now - rows) / passed_s, 1)


def stalled_s(now_s: float, slot: Slot) -> float:
    """Return for how long nothing was settled though something was left to do; seconds, 0.0 where nothing is left."""
    worker = slot.worker
    if worker is not None and worker.heartbeat.get("lag_messages") == 0:
        return 0.0
    ready_s = worker.ready_s if worker else None
    moved_s = max(instant for instant in (slot.progress_s, ready_s, slot.born_s) if instant is not None)
    return round(max(0.0, now_s - moved_s), 1)


def lag_per_s(slot: Slot) -> float | None:
    """Return by how many messages a second the lag grows (below 0: shrinks) of late; None while that is not known."""
    lags = list(slot.worker.lags) if slot.worker else []
    if len(lags) < 2 or lags[-1][0] <= lags[0][0]:
        return None
    return round((lags[-1][1] - lags[0][1]) / (lags[-1][0] - lags[0][0]), 1)


def catch_up_s(slot: Slot) -> float | None:
    """Return in how many seconds the lag is gone if things go on as of late; None where it does not shrink."""
    lags, change = list(slot.worker.lags) if slot.worker else [], lag_per_s(slot)
    if not lags:
        return None
    if lags[-1][1] == 0:
        return 0.0
    return round(lags[-1][1] / -change, 1) if change is not None and change < 0 else None

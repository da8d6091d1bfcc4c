"""
The acting half of the supervisor: start workers, receive their packets, send commands, and reap exits.

It decides only what follows an exit; `plan` makes all other decisions, and `main` passes them on.
"""

import logging
import os
import selectors
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from eventwriter import clock
from eventwriter.supervisor import processes
from eventwriter.supervisor.backoff import is_quarantine_exit, next_restart
from eventwriter.supervisor.desired_state import DesiredState
from eventwriter.supervisor.plan import Action, Drain, Dump, Forget, Kill, Start, Stop
from eventwriter.supervisor.slot import ChildName, Slot, State, Worker, count

log = logging.getLogger(__name__)


class WorkerPool:
    """
    All slots and their workers; the only writer of slots, except for operators' requests.

    Args:
        selector: The loop's selector. Links and pidfds of workers are registered with it; the data of a readable link
            is a function to be called with the time.
        close_parent_fds: Closes, in a child, the supervisor's descriptors other than the workers'.
        random: Returns a number from 0 to below 1, for the jitter of restarts.
        kind: What its members are called in the log.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        close_parent_fds: Callable[[], None],
        random: Callable[[], float],
        kind: str = "worker",
    ) -> None:
        self.slots: dict[ChildName, Slot] = {}
        self.unclean = False
        """Whether a worker that was asked to exit failed or had to be killed."""
        self.on_answer: Callable[[Slot, Mapping[str, Any]], None] = lambda _slot, _packet: None
        """Receives workers' answers to requests."""
        self._selector, self._close_parent_fds, self._random, self._kind = selector, close_parent_fds, random, kind

    def reconcile(self, now_s: float, desired: DesiredState) -> None:
        """Add slots that are missing, in the configuration's order; slots that are no longer wanted come last."""
        unwanted = [name for name in self.slots if name not in desired.fingerprints]
        names = [*desired.fingerprints, *unwanted]
        self.slots = {name: self.slots.get(name) or Slot(name, now_s) for name in names}

    def is_empty(self) -> bool:
        """Return whether no worker is alive."""
        return all(slot.worker is None for slot in self.slots.values())

    def broadcast(self, command: Mapping[str, Any]) -> None:
        """Send a command to every living worker."""
        for slot in self.slots.values():
            if slot.worker:
                processes.send(slot.worker, command)

    def reap(self, now_s: float, pid: int, status: int, desired: DesiredState) -> bool:
        """Process the exit of a worker; return whether the process was a worker of this pool."""
        slot = next((slot for slot in self.slots.values() if slot.worker and slot.worker.pid == pid), None)
        if slot is not None:
            self._receive_from(slot, now_s)
            self._on_exit(now_s, slot, status, desired)
        return slot is not None

    def act(self, now_s: float, action: Action, desired: DesiredState) -> None:
        """Carry out one action."""
        slot = self.slots[action.slot]
        match action:
            case Start():
                self._start(now_s, slot, desired)
            case Forget():
                del self.slots[slot.name]
            case Drain(_, reason, requested):
                self._command(slot, "drain", reason)
                slot.state, slot.restart_requested = State.DRAINING, False
                worker_of(slot).drain_sent_s, worker_of(slot).exit_requested = now_s, requested
            case Stop():
                self._command(slot, "stop", "quick stop")
                worker_of(slot).stop_sent_s = now_s
            case Dump(_, reason):
                log.warning(f"{self._kind} dumps its stacks", extra={"slot": str(slot.name), "reason": reason})
                processes.signal_worker(worker_of(slot), signal.SIGUSR1)
                worker_of(slot).dump_sent_s = now_s
            case Kill(_, reason):
                log.error(f"{self._kind} killed", extra={"slot": str(slot.name), "reason": reason})
                processes.signal_worker(worker_of(slot), signal.SIGKILL)
                worker_of(slot).killed_s, worker_of(slot).kill_reason = now_s, reason

    def close(self) -> None:
        """Kill remaining workers, which exist only after an exception in the supervisor, and close all descriptors."""
        for slot in self.slots.values():
            if slot.worker:
                processes.signal_worker(slot.worker, signal.SIGKILL)
        self.close_in_child()

    def close_in_child(self) -> None:
        """Close a forked child's copies of all workers' descriptors."""
        for slot in self.slots.values():
            if slot.worker:
                slot.worker.close()

    def _start(self, now_s: float, slot: Slot, desired: DesiredState) -> None:
        requested = slot.starts > 0 and (slot.exit_requested or slot.restart_requested or slot.drained)
        slot.restart_requested = slot.drained = slot.exit_requested = False
        try:
            started = processes.start(slot.name, desired.child_main, self._close_parent_fds)
        except OSError as error:
            reason = f"no process could be started: {os.strerror(error.errno or 0)}"
            self._schedule_restart(now_s, slot, reason, desired)
            return
        pid, pidfd, link, stacks_fd = started
        slot.worker = Worker(
            pid, pidfd, link, now_s, desired.fingerprints[slot.name], stacks_fd, oom_kills=processes.oom_kills()
        )
        slot.state = State.STARTING
        slot.starts += 1
        slot.restarts_requested += requested
        self._selector.register(link, selectors.EVENT_READ, partial(self._receive_from, slot))
        self._selector.register(pidfd, selectors.EVENT_READ)
        log.info(f"{self._kind} started", extra={"slot": str(slot.name), "pid": pid})
        for command in slot.sticky_commands.values():
            processes.send(slot.worker, command)  # the link keeps it until the worker reads

    def _command(self, slot: Slot, command: str, reason: str) -> None:
        log.info(f"{self._kind} told to {command}", extra={"slot": str(slot.name), "reason": reason})
        if not processes.send(worker_of(slot), {"type": command}):
            log.warning(f"{self._kind} does not read commands", extra={"slot": str(slot.name), "command": command})

    def _receive_from(self, slot: Slot, now_s: float) -> None:
        """Process the packets that a worker has sent."""
        if slot.worker is None or slot.worker.link_closed:
            return
        previous = slot.state
        try:
            for packet in processes.receive(slot.worker.link):
                if packet.get("type") == "answer":
                    self.on_answer(slot, packet)
                else:
                    slot.record_heartbeat(now_s, packet)
        except EOFError:
            slot.worker.link_closed = True
            self._selector.unregister(slot.worker.link)
        if slot.state is not previous:
            log.info(f"{self._kind} running", extra={"slot": str(slot.name), "pid": slot.worker.pid})

    def _on_exit(self, now_s: float, slot: Slot, status: int, desired: DesiredState) -> None:
        """Close a worker that exited, and decide whether its slot backs off."""
        worker = worker_of(slot)
        description = processes.describe_exit(status, worker.kill_reason, processes.oom_kills() > worker.oom_kills)
        if worker.ready_s is not None and now_s - worker.ready_s >= desired.limits.crash_loop_window_s:
            slot.in_crash_loop = False
        self._selector.unregister(worker.pidfd)
        if not worker.link_closed:
            self._selector.unregister(worker.link)
        slot.retire_worker()
        if not (worker.exit_requested or slot.drained or slot.name not in desired.fingerprints):
            self._schedule_restart(now_s, slot, description, desired, count(worker.heartbeat, "suspects"))
            return
        slot.state, slot.last_exit, slot.exit_requested = State.STOPPED, description, True
        self.unclean |= status != 0
        level = logging.INFO if status == 0 else logging.ERROR
        fields = {"slot": str(slot.name), "pid": worker.pid, "how": description}
        log.log(level, f"{self._kind} exited", extra=fields)

    def _schedule_restart(
        self, now_s: float, slot: Slot, description: str, desired: DesiredState, suspects: int = 0
    ) -> None:
        """Schedule the next start of a slot after an unexpected exit."""
        slot.last_exit, slot.last_error, slot.last_error_at_ns = description, description, clock.now_ns()
        fields: dict[str, Any] = {"slot": str(slot.name), "how": description}
        if is_quarantine_exit(suspects, slot.quarantine_exits):
            slot.quarantine_exits += 1
            slot.state, slot.retry_at_s = State.BACKOFF, now_s + desired.limits.backoff_min_s
            log.error(
                f"{self._kind} died while decoding messages in quarantine", extra={**fields, "suspects": suspects}
            )
            return
        slot.exits_s.append(now_s)
        while slot.exits_s[0] < now_s - desired.limits.crash_loop_window_s:
            slot.exits_s.popleft()
        restart = next_restart(len(slot.exits_s), slot.in_crash_loop, desired.limits, self._random)
        slot.state, slot.retry_at_s = restart.state, now_s + restart.delay_s
        slot.in_crash_loop = restart.state is State.FAILED
        log.error(
            f"{self._kind} in a crash loop" if slot.in_crash_loop else f"{self._kind} exited unexpectedly",
            extra={**fields, "again_in_s": round(restart.delay_s, 2)},
        )


def worker_of(slot: Slot) -> Worker:
    """Return the worker of a slot that has one."""
    assert slot.worker is not None, f"{slot.name} has no worker"
    return slot.worker

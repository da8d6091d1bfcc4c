"""
The slots and their living workers: forking them, hearing them, commanding them, burying them.

This is the acting half of the supervisor. It decides nothing beyond what follows
an exit; `plan` decides, `main` passes the decisions on.
"""

import logging
import os
import selectors
import signal
from collections.abc import Callable, Mapping
from typing import Any

from eventwriter import clock
from eventwriter.model import SlotName
from eventwriter.supervisor import processes
from eventwriter.supervisor.backoff import is_quarantine_exit, next_restart
from eventwriter.supervisor.desired_state import DesiredState
from eventwriter.supervisor.plan import Action, Drain, Dump, Forget, Kill, Start, Stop
from eventwriter.supervisor.slot import Slot, State, Worker, count

log = logging.getLogger(__name__)


class WorkerPool:
    """
    All slots; the only writer of them, but for what operators want of them.

    Args:
        selector: The loop's; workers' links and pidfds are registered with it.
        close_parents: Closes, in a child, the supervisor's descriptors other than the workers'.
        random: From 0 to below 1, for the jitter of restarts.
        what: What its members are called in the log.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        close_parents: Callable[[], None],
        random: Callable[[], float],
        what: str = "worker",
    ) -> None:
        self.slots: dict[SlotName, Slot] = {}
        self.unclean = False
        """Whether a worker, asked to exit, had to be killed or failed in doing so."""
        self.on_answer: Callable[[Slot, Mapping[str, Any]], None] = lambda _slot, _packet: None
        """Told what workers answer to questions; heartbeats are the slots' own."""
        self._selector, self._close_parents, self._random, self._what = selector, close_parents, random, what

    def adopt(self, now_s: float, fleet: DesiredState) -> None:
        """Make a slot for everything wanted, in the configuration's order; slots that must go come last."""
        gone = [name for name in self.slots if name not in fleet.fingerprints]
        self.slots = {name: self.slots.get(name) or Slot(name, now_s) for name in [*fleet.fingerprints, *gone]}

    def is_empty(self) -> bool:
        """Say whether no worker lives."""
        return all(slot.worker is None for slot in self.slots.values())

    def tell_all(self, command: Mapping[str, Any]) -> None:
        """Send a command to every living worker."""
        for slot in self.slots.values():
            if slot.worker:
                processes.send(slot.worker, command)

    def hear(self, now_s: float) -> None:
        """Take in what workers have sent."""
        for slot in self.slots.values():
            self._hear_one(now_s, slot)

    def bury(self, now_s: float, pid: int, status: int, fleet: DesiredState) -> bool:
        """Bury the worker that exited, if it is one of these; returns whether it is."""
        slot = next((one for one in self.slots.values() if one.worker and one.worker.pid == pid), None)
        if slot is not None:
            self._hear_one(now_s, slot)
            self._bury(now_s, slot, status, fleet)
        return slot is not None

    def act(self, now_s: float, action: Action, fleet: DesiredState) -> None:
        """Carry out one decision."""
        slot = self.slots[action.slot]
        match action:
            case Start():
                self._start(now_s, slot, fleet)
            case Forget():
                del self.slots[slot.name]
            case Drain(_, reason, asked):
                self._command(slot, "drain", reason)
                slot.state, slot.restart_asked = State.DRAINING, False
                alive(slot).drain_s, alive(slot).asked = now_s, asked
            case Stop():
                self._command(slot, "stop", "quick stop")
                alive(slot).stop_s = now_s
            case Dump(_, reason):
                log.warning(f"{self._what} is asked for its stacks", extra={"slot": str(slot.name), "reason": reason})
                processes.signal_worker(alive(slot), signal.SIGUSR1)
                alive(slot).dump_s = now_s
            case Kill(_, reason):
                log.error(f"{self._what} is killed", extra={"slot": str(slot.name), "reason": reason})
                processes.signal_worker(alive(slot), signal.SIGKILL)
                alive(slot).killed_s, alive(slot).kill_reason = now_s, reason

    def close(self) -> None:
        """Kill what is still there (nothing, unless the supervisor broke) and close all descriptors."""
        for slot in self.slots.values():
            if slot.worker:
                processes.signal_worker(slot.worker, signal.SIGKILL)
        self.abandon()

    def abandon(self) -> None:
        """Close the descriptors of all workers, as a forked child does with its copies."""
        for slot in self.slots.values():
            if slot.worker:
                slot.worker.close()

    def _start(self, now_s: float, slot: Slot, fleet: DesiredState) -> None:
        slot.restart_asked = slot.held = False
        try:
            started = processes.start(slot.name, fleet.child, self._close_parents)
        except OSError as error:
            self._rest(now_s, slot, f"no process could be started: {os.strerror(error.errno or 0)}", fleet)
            return
        pid, pidfd, link, stacks_fd = started
        slot.worker = Worker(pid, pidfd, link, now_s, fleet.fingerprints[slot.name], stacks_fd)
        slot.state = State.STARTING
        slot.starts += 1
        self._selector.register(link, selectors.EVENT_READ)
        self._selector.register(pidfd, selectors.EVENT_READ)
        log.info(f"{self._what} started", extra={"slot": str(slot.name), "pid": pid})
        for command in slot.standing.values():
            processes.send(slot.worker, command)  # read when it listens; the link holds it until then

    def _command(self, slot: Slot, command: str, reason: str) -> None:
        log.info(f"{self._what} is told to {command}", extra={"slot": str(slot.name), "reason": reason})
        if not processes.send(alive(slot), {"type": command}):
            log.warning(f"{self._what} does not listen", extra={"slot": str(slot.name), "command": command})

    def _hear_one(self, now_s: float, slot: Slot) -> None:
        if slot.worker is None or slot.worker.deaf:
            return
        state = slot.state
        try:
            for packet in processes.receive(slot.worker.link):
                if packet.get("type") == "answer":
                    self.on_answer(slot, packet)
                else:
                    slot.hear(now_s, packet)
        except EOFError:
            slot.worker.deaf = True
            self._selector.unregister(slot.worker.link)
        if slot.state is not state:
            log.info(f"{self._what} runs", extra={"slot": str(slot.name), "pid": slot.worker.pid})

    def _bury(self, now_s: float, slot: Slot, status: int, fleet: DesiredState) -> None:
        """Let go of a worker that exited, and decide whether its slot rests."""
        worker = alive(slot)
        words = f"killed: {worker.kill_reason}" if worker.kill_reason else processes.in_words(status)
        if worker.ready_s is not None and now_s - worker.ready_s >= fleet.limits.crash_loop_window_s:
            slot.looping = False
        self._selector.unregister(worker.pidfd)
        if not worker.deaf:
            self._selector.unregister(worker.link)
        slot.bury()
        if not (worker.asked or slot.held or slot.name not in fleet.fingerprints):
            self._rest(now_s, slot, words, fleet, count(worker.heartbeat, "suspects"))
            return
        slot.state, slot.last_exit = State.STOPPED, words
        self.unclean |= status != 0
        level = logging.INFO if status == 0 else logging.ERROR
        log.log(level, f"{self._what} exited", extra={"slot": str(slot.name), "pid": worker.pid, "how": words})

    def _rest(self, now_s: float, slot: Slot, words: str, fleet: DesiredState, suspects: int = 0) -> None:
        """Let a slot rest after an exit that nobody asked for."""
        slot.last_exit, slot.last_error, slot.last_error_at_ns = words, words, clock.now_ns()
        if is_quarantine_exit(suspects, slot.pardons):
            slot.pardons += 1
            slot.state, slot.retry_at_s = State.BACKOFF, now_s + fleet.limits.backoff_min_s
            about = {"slot": str(slot.name), "how": words, "suspects": suspects}
            log.error(f"{self._what} died decoding what quarantine suspects; it goes on narrowing down", extra=about)
            return
        slot.exits_s.append(now_s)
        while slot.exits_s[0] < now_s - fleet.limits.crash_loop_window_s:
            slot.exits_s.popleft()
        rest = next_restart(len(slot.exits_s), slot.looping, fleet.limits, self._random)
        slot.state, slot.retry_at_s = rest.state, now_s + rest.rest_s
        slot.looping = rest.state is State.FAILED
        about = {"slot": str(slot.name), "how": words, "again_in_s": round(rest.rest_s, 2)}
        log.error(f"{self._what} exits too often" if slot.looping else "worker exited unasked", extra=about)


def alive(slot: Slot) -> Worker:
    """Return the worker of a slot that is known to have one."""
    assert slot.worker is not None, f"{slot.name} has no worker"
    return slot.worker

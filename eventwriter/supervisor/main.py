"""
The supervisor's loop: wait, reap, hear, answer, plan, act.

One thread, one `select`. It forks the workers, listens to their heartbeats, to
signals and to operators, and carries out what `plan` decides.
"""

import logging
import os
import selectors
import signal
from collections.abc import Callable, Iterable
from typing import Any

from eventwriter import __version__, clock
from eventwriter.control import protocol
from eventwriter.control.listen import Claim
from eventwriter.control.protocol import Request
from eventwriter.control.server import Server
from eventwriter.errors import ConfigError, EventwriterError
from eventwriter.model import SlotName
from eventwriter.observe import logs
from eventwriter.supervisor import processes
from eventwriter.supervisor.backoff import rest_after
from eventwriter.supervisor.fleet import Fleet
from eventwriter.supervisor.notify import Notifier
from eventwriter.supervisor.plan import Action, Drain, Dump, Forget, Kill, Start, Stop, Wanted, plan, wait_s
from eventwriter.supervisor.slot import Slot, State, Worker
from eventwriter.supervisor.snapshot import Daemon, sentence, snapshot
from eventwriter.supervisor.verbs import obey
from eventwriter.supervisor.wakeup import Wakeup

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
EXIT_CLEAN, EXIT_UNCLEAN, EXIT_BROKEN = 0, 1, 70

log = logging.getLogger(__name__)


class Supervisor:
    """
    The parent of all workers; the only owner of the slots.

    Args:
        fleet: What to keep running.
        claim: The control socket, taken.
        reread: Reads the configuration again; raises ConfigError where it cannot be used.
        notifier: The line to systemd.
        random: From 0 to below 1, for the jitter of restarts.
    """

    def __init__(
        self, fleet: Fleet, claim: Claim, reread: Callable[[], Fleet], notifier: Notifier, random: Callable[[], float]
    ) -> None:
        self.fleet = fleet
        self.wanted = Wanted(fleet.fingerprints)
        self.slots: dict[SlotName, Slot] = {}
        self.unclean = False
        self._claim, self._reread, self._notifier, self._random = claim, reread, notifier, random
        self._server = Server(claim.listener)
        self._wakeup = Wakeup(SIGNALS)
        self._selector = selectors.EpollSelector()
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._now_s = clock.monotonic_s()
        self._daemon = Daemon(__version__, os.getpid(), clock.now_ns(), self._now_s, stopping=False)
        self._adopt(fleet)

    def run(self) -> int:
        """Keep the fleet running until told to stop; returns the exit code."""
        try:
            while not self.over():
                self.wait()
                self.reap()
                self.hear()
                self.answer()
                for action in plan(self._now_s, self.wanted, self.slots, self.fleet.limits):
                    self.act(action)
                self.tell()
        except Exception:
            log.exception("the supervisor broke; the workers are killed, and what they had open will be redelivered")
            return EXIT_BROKEN
        finally:
            self._close()
        log.info("stopped", extra={"clean": not self.unclean})
        return EXIT_UNCLEAN if self.unclean else EXIT_CLEAN

    def over(self) -> bool:
        """Say whether the last worker is gone after a stop."""
        return self.wanted.stopping and all(slot.worker is None for slot in self.slots.values())

    def wait(self) -> None:
        """Sleep until a signal, a heartbeat, an exit, a client, or a deadline."""
        pause_s = 0.0 if self._server.has_work() else wait_s(clock.monotonic_s(), self.slots.values())
        self._selector.select(pause_s)
        self._now_s = clock.monotonic_s()

    def reap(self) -> None:
        """Bury the workers that exited; strangers (as process 1 of a container has them) are let go."""
        owners = {slot.worker.pid: slot for slot in self.slots.values() if slot.worker}
        for pid, status in processes.reap():
            if slot := owners.get(pid):
                self._hear_worker(slot)
                self._exited(slot, processes.in_words(status), status)

    def hear(self) -> None:
        """Take in heartbeats and signals."""
        for slot in self.slots.values():
            self._hear_worker(slot)
        for number in self._wakeup.read():
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop(f"signal {signal.Signals(number).name}")
            elif number == signal.SIGHUP:
                self._reload_by_signal()

    def answer(self) -> None:
        """Let operators ask."""
        self._server.turn(self._now_s, self._answer)

    def act(self, action: Action) -> None:
        """Carry out one decision."""
        slot = self.slots[action.slot]
        match action:
            case Start():
                self._start(slot)
            case Forget():
                del self.slots[slot.name]
            case Drain(_, reason, asked):
                self._command(slot, "drain", reason)
                worker = alive(slot)
                slot.state, slot.restart_asked = State.DRAINING, False
                worker.drain_s, worker.asked = self._now_s, asked
            case Stop():
                self._command(slot, "stop", "quick stop")
                alive(slot).stop_s = self._now_s
            case Dump(_, reason):
                log.warning("worker is asked for its stacks", extra={"slot": str(slot.name), "reason": reason})
                processes.signal_worker(alive(slot), signal.SIGUSR1)
                alive(slot).dump_s = self._now_s
            case Kill(_, reason):
                log.error("worker is killed", extra={"slot": str(slot.name), "reason": reason})
                processes.signal_worker(alive(slot), signal.SIGKILL)
                alive(slot).killed_s, alive(slot).kill_reason = self._now_s, reason

    def tell(self) -> None:
        """Tell systemd how things are, and that this loop turns."""
        if not self.wanted.stopping and all(slot.ever_ready for slot in self.slots.values()):
            self._notifier.ready()
        self._notifier.status(sentence(self.picture()))
        self._notifier.watchdog(self._now_s)

    @property
    def stopping(self) -> bool:
        """Whether the daemon is going down."""
        return self.wanted.stopping

    def picture(self) -> dict[str, Any]:
        """Return the snapshot."""
        return snapshot(self._now_s, self._daemon, self.slots.values())

    def stop(self, reason: str) -> None:
        """Drain everything and exit; the second time, do not wait for open work."""
        quick = self.wanted.stopping
        log.info("stopping quickly" if quick else "stopping", extra={"reason": reason})
        self.wanted = Wanted(self.fleet.fingerprints, stopping=True, quick=quick)
        self._daemon = Daemon(
            self._daemon.version, self._daemon.pid, self._daemon.started_at_ns, self._daemon.started_s, stopping=True
        )
        self._notifier.stopping()

    def reload(self) -> str:
        """
        Read the configuration again; workers whose settings changed are replaced.

        Raises:
            EventwriterError: It cannot be used; nothing has changed.
        """
        fleet = self._reread()
        before = self.fleet.fingerprints
        changed = [str(name) for name in {**before, **fleet.fingerprints} if before.get(name) != fleet.fingerprints.get(name)]
        if (was_ready := self._notifier.is_ready):
            self._notifier.reloading()
        self._adopt(fleet)
        if was_ready:
            self._notifier.ready()
        result = f"changed: {', '.join(changed)}" if changed else "nothing changed for any worker"
        log.info("configuration read again", extra={"result": result})
        return result

    def _adopt(self, fleet: Fleet) -> None:
        if fleet.log_level != self.fleet.log_level:
            logs.set_level(fleet.log_level)
            for slot in self.slots.values():
                if slot.worker:
                    processes.send(slot.worker, {"type": "log_level", "level": fleet.log_level})
        self.fleet, self.wanted = fleet, Wanted(fleet.fingerprints)
        gone = [name for name in self.slots if name not in fleet.fingerprints]
        known = {name: self.slots.get(name) or Slot(name, self._now_s) for name in [*fleet.fingerprints, *gone]}
        self.slots = known  # a new dictionary, in the configuration's order; slots that go are last

    def _reload_by_signal(self) -> None:
        if self.wanted.stopping:
            return
        try:
            self.reload()
        except ConfigError as error:
            for mistake in error.mistakes:
                log.error("configuration not changed", extra={"mistake": mistake})
        except EventwriterError as error:
            log.error("configuration not changed", extra={"mistake": str(error)})

    def _answer(self, request: Request, who: str) -> bytes:
        if request.verb not in ("status", "ping"):
            log.info("an operator asks", extra={"verb": request.verb, "who": who, **dict(request.fields)})
        try:
            return protocol.answer(request.id, obey(self, request))
        except EventwriterError as error:
            return protocol.refusal(request.id, "; ".join(str(error).splitlines()))

    def _hear_worker(self, slot: Slot) -> None:
        if slot.worker is None or slot.worker.deaf:
            return
        state = slot.state
        try:
            for packet in processes.receive(slot.worker.link):
                slot.hear(self._now_s, packet)
        except EOFError:
            slot.worker.deaf = True
            self._selector.unregister(slot.worker.link)
        if slot.state is not state:
            log.info("worker runs", extra={"slot": str(slot.name), "pid": slot.worker.pid})

    def _start(self, slot: Slot) -> None:
        slot.restart_asked = slot.held = False
        try:
            pid, pidfd, link = processes.start(slot.name, self.fleet.child, self._close_in_child)
        except OSError as error:
            self._rest(slot, f"no process could be started: {error.strerror}")
            return
        fingerprint = self.fleet.fingerprints[slot.name]
        slot.worker = Worker(pid, pidfd, link, self._now_s, fingerprint)
        slot.state = State.STARTING
        slot.starts += 1
        self._selector.register(link, selectors.EVENT_READ)
        self._selector.register(pidfd, selectors.EVENT_READ)
        log.info("worker started", extra={"slot": str(slot.name), "pid": pid})

    def _command(self, slot: Slot, command: str, reason: str) -> None:
        log.info(f"worker is told to {command}", extra={"slot": str(slot.name), "reason": reason})
        if not processes.send(alive(slot), {"type": command}):
            log.warning("worker does not listen", extra={"slot": str(slot.name), "command": command})

    def _exited(self, slot: Slot, words: str, status: int) -> None:
        """Bury a worker, and decide whether its slot rests."""
        worker = alive(slot)
        words = f"killed: {worker.kill_reason}" if worker.kill_reason else words
        asked = worker.asked or slot.held or self.wanted.stopping or slot.name not in self.wanted.fingerprints
        if worker.ready_s is not None and self._now_s - worker.ready_s >= self.fleet.limits.crash_loop_window_s:
            slot.looping = False
        self._selector.unregister(worker.pidfd)
        if not worker.deaf:
            self._selector.unregister(worker.link)
        slot.bury()
        slot.last_exit = words
        if asked:
            slot.state = State.STOPPED
            self.unclean |= status != 0 and self.wanted.stopping
            level = logging.INFO if status == 0 else logging.ERROR
            log.log(level, "worker exited", extra={"slot": str(slot.name), "pid": worker.pid, "how": words})
        else:
            self._rest(slot, words)

    def _rest(self, slot: Slot, words: str) -> None:
        """Let a slot rest after an exit that nobody asked for."""
        limits = self.fleet.limits
        slot.last_exit, slot.last_error, slot.last_error_at_ns = words, words, clock.now_ns()
        slot.exits_s.append(self._now_s)
        while slot.exits_s[0] < self._now_s - limits.crash_loop_window_s:
            slot.exits_s.popleft()
        rest = rest_after(len(slot.exits_s), slot.looping, limits, self._random)
        slot.state, slot.retry_at_s = rest.state, self._now_s + rest.rest_s
        slot.looping = rest.state is State.FAILED
        about = {"slot": str(slot.name), "how": words, "again_in_s": round(rest.rest_s, 2)}
        log.error("worker exited too often" if slot.looping else "worker exited unasked", extra=about)

    def _close_in_child(self) -> None:
        """Close, in a forked child, every descriptor of the supervisor; see `Server.abandon` for the care it takes."""
        self._selector.close()
        self._server.abandon()
        self._wakeup.abandon()
        self._notifier.close()
        os.close(self._claim.lock_fd)
        close_workers(self.slots.values())

    def _close(self) -> None:
        """Give everything back; workers that are still there (after a bug) are killed."""
        for slot in self.slots.values():
            if slot.worker:
                processes.signal_worker(slot.worker, signal.SIGKILL)
        close_workers(self.slots.values())
        self._server.close()
        self._claim.leave()
        self._selector.close()
        self._wakeup.close()
        self._notifier.close()


def alive(slot: Slot) -> Worker:
    """Return the worker of a slot that is known to have one."""
    assert slot.worker is not None, f"{slot.name} has no worker"
    return slot.worker


def close_workers(slots: Iterable[Slot]) -> None:
    """Close the links and pidfds of all workers."""
    for slot in slots:
        if slot.worker:
            slot.worker.close()

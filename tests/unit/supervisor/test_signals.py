"""Signals as bytes on a socket."""

import os
import select
import signal

from eventwriter.supervisor.signals import SignalReader


def test_signals_are_read_in_order_and_handlers_restored() -> None:
    """Signals are returned as numbers in order, and closing restores the previous handlers."""
    before = signal.getsignal(signal.SIGHUP)
    reader = SignalReader((signal.SIGHUP, signal.SIGUSR2))

    for number in (signal.SIGUSR2, signal.SIGHUP):
        os.kill(os.getpid(), number)
    readable = select.select([reader], [], [], 5)[0]
    numbers = reader.read()
    empty = reader.read()
    reader.close()

    assert [reader] == readable
    assert [signal.SIGUSR2, signal.SIGHUP] == numbers
    assert [] == empty
    assert before == signal.getsignal(signal.SIGHUP)

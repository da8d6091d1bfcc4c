"""Signals during the start and the stop of server processes."""

import signal
from collections.abc import Iterator

import pytest

from eventwriter.demo.process import interrupted_once, interrupts_deferred, interrupts_ignored


@pytest.fixture(autouse=True)
def python_handlers() -> Iterator[None]:
    """Python's own handlers during the test; each context manager has to restore them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    left = signal.getsignal(signal.SIGINT)
    for number, handler in before.items():
        signal.signal(number, handler)
    assert signal.default_int_handler is left


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_second_interrupt_does_not_interrupt_the_cleanup(second: signal.Signals) -> None:
    """The first signal raises KeyboardInterrupt; the second arrives during the cleanup and is ignored."""
    steps = []

    def work() -> None:
        with interrupted_once():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                signal.raise_signal(second)
                steps.append("cleanup")
                raise

    with pytest.raises(KeyboardInterrupt):
        work()

    assert ["cleanup"] == steps


def test_interrupt_during_a_deferred_step_is_raised_inside_the_outer_block() -> None:
    """A signal that arrives during a step is raised at its end, where the outer block can still clean up."""
    steps = []

    def work() -> None:
        with interrupted_once():
            try:
                with interrupts_deferred():
                    signal.raise_signal(signal.SIGINT)
                    steps.append("step")
            except KeyboardInterrupt:
                steps.append("cleanup")
                raise

    with pytest.raises(KeyboardInterrupt):
        work()

    assert ["step", "cleanup"] == steps


def test_signals_that_were_ignored_stay_ignored() -> None:
    """A process in the background of a shell, where SIGINT is ignored, is not interrupted by it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    with interrupted_once():
        signal.raise_signal(signal.SIGINT)

    assert signal.SIG_IGN is signal.signal(signal.SIGINT, signal.default_int_handler)


def test_shutdown_is_not_interrupted() -> None:
    """Both signals are ignored during the shutdown."""
    with interrupts_ignored():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

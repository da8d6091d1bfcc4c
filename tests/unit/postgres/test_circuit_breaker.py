"""The circuit's books."""

from eventwriter.postgres.circuit_breaker import Circuit


def test_open_circuit_tells_since_when_how_often_and_when_next() -> None:
    """Durations are from now, in seconds."""
    circuit = Circuit()
    circuit.failed(100.0, "gone", writing=True)
    circuit.rests(100.0, 1.0)
    circuit.failed(101.0, "still gone", writing=True)
    circuit.rests(101.5, 2.0)

    told = circuit.picture(102.0)

    assert {"state": "open", "open_s": 2.0, "attempts": 2, "next_try_in_s": 1.5, "reason": "still gone"} == told


def test_attempt_that_is_being_made_has_no_next() -> None:
    """While an attempt goes on there is nothing to wait for."""
    circuit = Circuit()
    circuit.failed(100.0, "gone", writing=True)

    assert circuit.picture(100.5)["next_try_in_s"] is None


def test_reading_does_not_close_what_writing_opened() -> None:
    """A full disk can be read from."""
    circuit = Circuit()
    circuit.failed(1.0, "disk full", writing=True)
    circuit.worked(writing=False)
    assert circuit.is_open

    circuit.worked(writing=True)

    assert {"state": "closed"} == circuit.picture(2.0)


def test_reading_closes_what_reading_opened() -> None:
    """Where nothing is to be written yet, a look at the tables is the proof."""
    circuit = Circuit()
    circuit.failed(1.0, "gone", writing=False)

    circuit.worked(writing=False)

    assert not circuit.is_open


def test_rest_of_a_closed_circuit_is_nothing() -> None:
    """Only an open one waits."""
    circuit = Circuit()

    circuit.rests(1.0, 5.0)

    assert circuit.next_s is None

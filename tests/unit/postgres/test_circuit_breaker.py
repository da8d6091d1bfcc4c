"""Outage state and retry schedule."""

from eventwriter.postgres.circuit_breaker import CircuitBreaker


def test_open_circuit_reports_durations_attempts_and_reason() -> None:
    """The state holds the duration of the outage, the number of attempts and the time until the next one."""
    circuit = CircuitBreaker()
    circuit.record_failure(100.0, "gone", writing=True)
    circuit.schedule_retry(100.0, 1.0)
    circuit.record_failure(101.0, "still gone", writing=True)
    circuit.schedule_retry(101.5, 2.0)

    state = circuit.to_dict(102.0)

    assert {"state": "open", "open_s": 2.0, "attempts": 2, "next_try_in_s": 1.5, "reason": "still gone"} == state


def test_attempt_in_progress_has_no_next_attempt() -> None:
    """Without a scheduled retry there is no time until the next attempt."""
    circuit = CircuitBreaker()

    circuit.record_failure(100.0, "gone", writing=True)

    assert circuit.to_dict(100.5)["next_try_in_s"] is None


def test_read_does_not_close_a_circuit_that_a_write_opened() -> None:
    """A server with a full disk can be read but not written."""
    circuit = CircuitBreaker()
    circuit.record_failure(1.0, "disk full", writing=True)

    circuit.record_success(writing=False)
    open_after_read = circuit.is_open
    circuit.record_success(writing=True)

    assert open_after_read
    assert {"state": "closed"} == circuit.to_dict(2.0)


def test_read_closes_a_circuit_that_a_read_opened() -> None:
    """A successful read ends an outage in which no write failed."""
    circuit = CircuitBreaker()
    circuit.record_failure(1.0, "gone", writing=False)

    circuit.record_success(writing=False)

    assert not circuit.is_open


def test_closed_circuit_schedules_no_retry() -> None:
    """A retry is scheduled only during an outage."""
    circuit = CircuitBreaker()

    circuit.schedule_retry(1.0, 5.0)

    assert circuit.next_attempt_s is None

"""`eventwriter doctor` on real servers: each problem is provoked and found by the check that covers it."""

import datetime as dt
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from fix_nats import PEOPLE, Certificates, StartNats, operator_account
from fix_postgres import Secured
from fix_run import clean, command
from fix_shared_stream import SharedStream
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig, SubjectTransform

from eventwriter import clock
from eventwriter.admin.doctor import nats, postgres, runner
from eventwriter.admin.doctor.findings import Finding, exit_code

Examine = Callable[..., dict[tuple[str, str], list[Finding]]]


@pytest.fixture
def examine(shared: SharedStream, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Run doctor for the shared stream, optionally with other settings, and return the findings by check."""
    monkeypatch.setattr(nats, "_SAMPLE_S", 0.05)

    def run(environ: dict[str, str] | None = None, **top: Any) -> dict[tuple[str, str], list[Finding]]:
        if top:
            shared.run.config.write_text(json.dumps({**json.loads(shared.run.config.read_text()), **top}))
        found: dict[tuple[str, str], list[Finding]] = {}
        for finding in runner.run(str(shared.run.config), clean(environ)):
            found.setdefault((finding.group, finding.check), []).append(finding)
        return found

    return run


def results(findings: list[Finding]) -> list[tuple[str, str]]:
    """Return status and message of each finding."""
    return [(str(finding.status), finding.message) for finding in findings]


def problems(found: dict[tuple[str, str], list[Finding]]) -> dict[tuple[str, str], str]:
    """Return the messages of the checks that ended with a warning or a failure."""
    return {
        check: one.message for check, findings in found.items() for one in findings if one.status in ("warn", "fail")
    }


def status(found: dict[tuple[str, str], list[Finding]], group: str, check: str) -> str:
    """Return the status of the first finding of a check."""
    return str(found[group, check][0].status)


TELEMETRY = "TELEMETRY/0"


def test_running_daemon_has_no_problem_of_its_own(shared: SharedStream, examine: Examine) -> None:
    """With a running daemon the only warning is about the PostgreSQL server, which runs without fsync."""
    shared.publish(5)
    shared.run_until_written()

    found = examine()

    # Tests run PostgreSQL without fsync; this is one of what doctor is for.
    assert {("PostgreSQL", "server")} == set(problems(found)), problems(found)
    assert "fsync = off" in found["PostgreSQL", "server"][0].message
    assert "delivered while" in found[TELEMETRY, "delivery"][0].message


def test_every_warning_and_failure_has_a_hint(shared: SharedStream, examine: Examine) -> None:
    """Every warning and failure has a hint."""
    found = examine(nats={"servers": ["nats://127.0.0.1:1"]}, control={"socket": "/nowhere/at/all.sock"})

    assert 2 == exit_code(one for findings in found.values() for one in findings)
    assert [] == [
        one for findings in found.values() for one in findings if one.status in ("warn", "fail") and not one.hint
    ]


def test_stream_that_stores_the_subjects_is_named(shared: SharedStream, examine: Examine) -> None:
    """For a missing stream, the hint names the stream that stores the entry's subjects."""
    entry = {"name": "TELEMETRY", "subject": f"{shared.stream}.t.>", "stream_name": "nosuch"}

    found = examine(streams=[entry])

    (missing,) = found["stream nosuch", "exists"]
    assert ("fail", True) == (str(missing.status), f'set stream_name = "{shared.stream}"' in (missing.hint or ""))


def test_checks_that_depend_on_a_failed_check_are_skipped(examine: Examine) -> None:
    """If NATS is unreachable, the checks of streams and consumers are skipped, and PostgreSQL is checked."""
    found = examine(nats={"servers": ["nats://127.0.0.1:1"]})

    assert "fail" == status(found, "NATS", "connection")
    assert [("skip", "skipped: NATS: connection failed")] == results(found["NATS", "version"])
    assert "skip" == status(found, TELEMETRY, "consumer")
    assert "ok" == status(found, TELEMETRY, "tables")


def test_command_exits_with_2_on_a_failure(shared: SharedStream) -> None:
    """The output fits 80 columns and ends with the counts; a failure has exit code 2."""
    done = command(
        "eventwriter",
        "doctor",
        "--config",
        str(shared.run.config),
        environ={"EVENT_WRITER_NATS_URL": "nats://127.0.0.1:1"},
    )

    assert 2 == done.returncode
    assert "is unreachable" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1].rstrip().endswith("skip")
    assert 80 >= max(map(len, done.stdout.splitlines()))


def test_invalid_configuration_has_a_finding_for_each_error(shared: SharedStream) -> None:
    """An invalid file has one failure for each error and skips the other checks; the exit code is 2."""
    shared.run.config.write_text('{"streams": 5, "nats": {"server": "x"}}')

    done = command("eventwriter", "doctor", "--config", str(shared.run.config), "--json")

    findings = json.loads(done.stdout)["findings"]
    assert 2 == done.returncode
    assert ["fail", "fail", "fail", "skip"] == [one["status"] for one in findings]  # [postgres] is missing too


def test_no_secret_is_printed(shared: SharedStream) -> None:
    """The output contains neither password, whether or not the connection succeeds."""
    dsn = shared.dsn.replace("postgres@", "postgres:s3cretpg@")
    environ = {"EVENT_WRITER_NATS_URL": "nats://u:s3cretnats@127.0.0.1:1", "EVENT_WRITER_POSTGRES_DSN": dsn}

    done = command("eventwriter", "doctor", "--config", str(shared.run.config), environ=environ)

    assert "s3cret" not in done.stdout + done.stderr
    assert "127.0.0.1" in done.stdout


def test_doctor_changes_nothing(shared: SharedStream, examine: Examine) -> None:
    """Doctor creates no consumer, no ledger row and no socket."""
    examine()

    infos = shared.jetstream(lambda js: js.consumers_info(shared.stream))
    with psycopg.connect(shared.dsn) as conn:
        rows = conn.execute("SELECT count(*) FROM eventwriter_ledger").fetchone()
    assert ([], (0,), False) == (infos, rows, os.path.exists(shared.run.socket))


# Host.


def test_socket_of_a_dead_daemon_is_stale(shared: SharedStream, examine: Examine) -> None:
    """The socket of a killed daemon is reported as stale, and no daemon is found."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(shared.run.socket)

    found = examine()

    assert "left behind by a killed daemon" in found["host", "control socket"][0].message
    assert "no daemon is running on this host" in found["host", "daemon"][0].message


@pytest.mark.parametrize(
    ("control", "sentence"),
    [
        ({"socket": "/no/such/folder/c.sock"}, "folder /no/such/folder does not exist"),
        ({"socket": "/etc/hostname"}, "is not a socket"),
        ({"socket": "/tmp/" + "x" * 120}, "is too long"),
        ({"group": "nosuchgroup"}, "does not exist on this machine"),
    ],
)
def test_unusable_control_socket_fails(examine: Examine, control: dict[str, str], sentence: str) -> None:
    """A control socket that cannot be created fails with the reason."""
    found = examine(control=control)

    assert "fail" == status(found, "host", "control socket")
    assert sentence in found["host", "control socket"][0].message


def test_daemon_with_other_slots_is_reported(shared: SharedStream, examine: Examine) -> None:
    """A daemon whose slots differ from the configuration is reported with the difference."""
    shared.run_until_written()
    config = json.loads(shared.run.config.read_text())

    found = examine(streams=config["streams"][:1])

    assert "differ from this configuration (NETFLOW/0)" in found["host", "daemon"][0].message


def test_socket_with_another_mode_is_a_warning(shared: SharedStream, examine: Examine) -> None:
    """A changed mode of the daemon's socket is reported with both modes; the original mode is accepted."""
    shared.run_until_written()
    well = examine()
    os.chmod(shared.run.socket, 0o666)

    found = examine()

    assert "ok" == status(well, "host", "control socket")
    assert [("warn", f"{shared.run.socket} has mode 0666, but the configuration has 0660")] == results(
        found["host", "control socket"]
    )


# Files, names, TLS.


def test_certificate_that_expires_is_reported(examine: Examine, certificates: Certificates) -> None:
    """A certificate that expires within a month is a warning, an expired one a failure."""
    soon, key = certificates.issue("localhost", days=5)
    over, _ = certificates.issue("localhost", days=-2)
    tls = {"ca_file": certificates.ca_file, "cert_file": soon, "key_file": key}

    found = examine(nats={"servers": ["tls://127.0.0.1:1"], "tls": tls})
    again = examine(nats={"servers": ["tls://127.0.0.1:1"], "tls": {**tls, "cert_file": over}})

    assert ["ok", "warn"] == [str(one.status) for one in found["files", "certificates"]]
    assert "fail" == str(again["files", "certificates"][1].status)


def test_world_readable_secret_is_a_warning(examine: Examine, tmp_path: Path) -> None:
    """A password file with mode 0644 is reported with the command that fixes it."""
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)

    found = examine(nats={"servers": ["nats://127.0.0.1:1"], "user": "u", "password_file": str(secret)})

    assert [f"chmod o-rwx {secret}"] == [one.hint for one in found["files", "secrets"]]


def test_unresolvable_host_name_fails(examine: Examine) -> None:
    """A host name that cannot be resolved fails, and the connection is skipped."""
    found = examine(nats={"servers": ["nats://nats.invalid:4222"]})

    assert "nats.invalid cannot be resolved" in found["NATS", "names"][0].message
    assert "skip" == status(found, "NATS", "connection")


def test_nats_certificate_is_verified(examine: Examine, start_nats: StartNats, certificates: Certificates) -> None:
    """A trusted certificate is shown with its end; one of another authority fails."""
    good, key = certificates.issue("localhost", days=300)
    server = start_nats({"tls": {"cert_file": good, "key_file": key}})
    where = {"servers": [server.url]}
    other = Certificates(certificates.folder.parent / "other")

    well = examine(nats={**where, "tls": {"ca_file": certificates.ca_file}})
    wrong = examine(nats={**where, "tls": {"ca_file": other.ca_file}})

    assert "ok" == status(well, "NATS", "TLS")
    assert "certificate: valid until" in well["NATS", "TLS"][0].message
    assert "fail" == status(wrong, "NATS", "TLS")
    assert "nats.tls.ca_file" in wrong["NATS", "TLS"][0].hint


def test_expired_nats_certificate_fails(
    examine: Examine, start_nats: StartNats, certificates: Certificates
) -> None:  # fmt: skip
    """An expired certificate of a NATS server fails with the reason."""
    over, key = certificates.issue("localhost", days=-2)
    server = start_nats({"tls": {"cert_file": over, "key_file": key}})

    found = examine(nats={"servers": [server.url], "tls": {"ca_file": certificates.ca_file}})

    assert "certificate has expired" in found["NATS", "TLS"][0].message


def test_nats_without_the_configured_tls_fails(examine: Examine, nats_url: str) -> None:
    """A NATS server that offers no TLS fails if the configuration requires TLS."""
    found = examine(nats={"servers": [nats_url.replace("nats://", "tls://")]})

    assert "offers no TLS" in found["NATS", "TLS"][0].message


def test_refused_login_fails(examine: Examine, start_nats: StartNats) -> None:
    """A refused login fails with a hint that names the keys to check."""
    server = start_nats(PEOPLE)

    found = examine(nats={"servers": [server.url], "user": "writer", "password": "wrong"})

    assert "refused the login" in found["NATS", "connection"][0].message
    assert "creds_file" in found["NATS", "connection"][0].hint


CREDS = [
    (-1.0, "fail", ": expired ", "fail"),
    (5.0, "warn", ", in 5.0 days", "ok"),
    (None, "ok", "does not expire", "ok"),
]


@pytest.mark.parametrize(("days", "ended", "words", "connected"), CREDS, ids=["ended", "ends soon", "without an end"])
def test_creds_file_that_expires_is_reported(
    examine: Examine, start_nats: StartNats, tmp_path: Path, days: float | None, ended: str, words: str, connected: str
) -> None:
    """An expired .creds file fails and so does the connection; one that expires within a month is a warning."""
    account, path = operator_account(), tmp_path / "user.creds"
    account.write(path, days and time.time() + days * 86_400)
    path.chmod(0o600)
    server = start_nats(account.config)

    found = examine(nats={"servers": [server.url], "creds_file": str(path)})

    assert ended == status(found, "files", "creds")
    assert words in found["files", "creds"][0].message
    assert connected == status(found, "NATS", "connection"), results(found["NATS", "connection"])


@pytest.mark.parametrize(
    ("ahead_s", "ended", "words"),
    [(5.0, "warn", "5.0 s ahead of"), (-5.0, "warn", "5.0 s behind"), (90.0, "fail", "90.0 s ahead of")],
)
def test_clock_difference_is_reported(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, ahead_s: float, ended: str, words: str
) -> None:
    """The difference between this host's clock and each server's is reported with its direction."""
    now_ns = clock.now_ns

    class Late(dt.datetime):
        """A host's clock from which the servers' are that far ahead."""

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
            return dt.datetime.now(tz) - dt.timedelta(seconds=ahead_s)

    monkeypatch.setattr(clock, "now_ns", lambda: now_ns() - int(ahead_s * 1e9))
    monkeypatch.setattr(postgres, "dt", SimpleNamespace(datetime=Late, UTC=dt.UTC))

    found = examine()

    for group in ("NATS", "PostgreSQL"):
        assert ended == status(found, group, "clock"), group
        assert f"the clock of {group} is {words} this host's" == found[group, "clock"][0].message


def test_account_without_jetstream_fails(examine: Examine, start_nats: StartNats) -> None:
    """An account without JetStream fails, and the checks of consumers are skipped."""
    accounts = {"accounts": {"A": {"users": [{"user": "writer", "password": "s3cret"}]}}}
    server = start_nats(accounts)

    found = examine(nats={"servers": [server.url], "user": "writer", "password": "s3cret"})

    assert "fail" == status(found, "NATS", "JetStream")
    assert "skip" == status(found, TELEMETRY, "consumer")


# Streams and consumers.


def test_missing_stream_fails(shared: SharedStream, examine: Examine) -> None:
    """A missing stream fails once, and the checks that depend on it are skipped."""
    shared.jetstream(lambda js: js.delete_stream(shared.stream))

    found = examine()

    assert "fail" == status(found, f"stream {shared.stream}", "exists")
    assert "skip" == status(found, TELEMETRY, "ledger")


def test_subject_outside_the_stream_fails(shared: SharedStream, examine: Examine) -> None:
    """An entry fails if the stream stores none of its subjects, and has a warning if it stores a part of them."""
    subjects = [f"{shared.stream}.t.a", f"{shared.stream}.x.>"]
    shared.jetstream(lambda js: js.update_stream(StreamConfig(name=shared.stream, subjects=subjects)))

    found = examine()

    assert ("warn", "fail") == (status(found, TELEMETRY, "subjects"), status(found, "NETFLOW/0", "subjects"))


def test_transformed_subjects_are_reported(shared: SharedStream, examine: Examine) -> None:
    """If the stream transforms the subjects of an entry, the message names the stored subjects."""
    config = StreamConfig(
        name=shared.stream,
        subjects=[f"{shared.stream}.>"],
        subject_transform=SubjectTransform(src=f"{shared.stream}.>", dest="stored.>"),
    )
    shared.jetstream(lambda js: js.update_stream(config))
    shared.publish(1)

    found = examine()

    assert "the stream transforms it and stores stored.>" in found[TELEMETRY, "subjects"][0].message


def test_backlog_close_to_the_limit_is_a_warning(shared: SharedStream, examine: Examine) -> None:
    """A backlog close to a limit of the stream is a warning, a backlog at the limit a failure."""
    subjects = [f"{shared.stream}.>"]
    shared.jetstream(lambda js: js.update_stream(StreamConfig(name=shared.stream, subjects=subjects, max_msgs=100)))
    shared.publish(12)

    warned = examine()
    shared.publish(10)
    failed = examine()

    assert ("warn", "fail") == (status(warned, TELEMETRY, "backlog"), status(failed, TELEMETRY, "backlog"))
    assert "max_msgs drops it" in warned[TELEMETRY, "backlog"][0].message


def test_limits_that_lose_messages_are_reported(shared: SharedStream, examine: Examine) -> None:
    """`max_msgs_per_subject` is a warning, and a full stream that rejects publishers a failure."""
    config = {
        "name": shared.stream, "subjects": [f"{shared.stream}.>"], "max_msgs_per_subject": 1000, "max_msgs": 20,
        "discard": "new",
    }  # fmt: skip
    shared.jetstream(lambda js: js.update_stream(StreamConfig.from_response(config)))
    shared.publish(4)

    found = examine()

    sentences = [one.message for one in found[f"stream {shared.stream}", "limits"]]
    assert ["warn", "fail"] == [str(one.status) for one in found[f"stream {shared.stream}", "limits"]]
    assert "max_msgs_per_subject is 1,000" in sentences[0]
    assert "publishers are refused" in sentences[1]


def test_interest_stream_without_consumer_fails(shared: SharedStream, examine: Examine) -> None:
    """An interest stream drops messages without a consumer, so a missing consumer fails there."""
    shared.jetstream(lambda js: js.delete_stream(shared.stream))
    config = StreamConfig(name=shared.stream, subjects=[f"{shared.stream}.>"], retention=RetentionPolicy.INTEREST)
    shared.jetstream(lambda js: js.add_stream(config))

    found = examine()

    assert "drops messages without a consumer" in found[TELEMETRY, "consumer"][0].message


def test_stream_in_memory_is_a_warning(shared: SharedStream, examine: Examine) -> None:
    """A stream that is stored in memory is a warning."""
    shared.jetstream(lambda js: js.delete_stream(shared.stream))
    config = {"name": shared.stream, "subjects": [f"{shared.stream}.>"], "storage": "memory"}
    shared.jetstream(lambda js: js.add_stream(StreamConfig.from_response(config)))

    found = examine()

    assert "stored in memory" in found[f"stream {shared.stream}", "retention"][0].message


def create_durable(shared: SharedStream, **config: Any) -> None:
    """Create the durable of TELEMETRY with some other settings."""
    given = {
        "durable_name": f"{shared.stream}-telemetry", "ack_policy": "explicit", "max_deliver": -1,
        "filter_subject": f"{shared.stream}.t.>", **config,
    }  # fmt: skip
    shared.jetstream(lambda js: js.add_consumer(shared.stream, ConsumerConfig.from_response(given)))


def test_updatable_consumer_difference_is_a_warning(shared: SharedStream, examine: Examine) -> None:
    """A consumer setting that can be updated is reported with its actual and expected value."""
    create_durable(shared, max_deliver=3)

    found = examine()

    assert "warn" == status(found, TELEMETRY, "consumer")
    assert "max_deliver is 3, expected -1" in found[TELEMETRY, "consumer"][0].message


def test_fixed_consumer_difference_fails(shared: SharedStream, examine: Examine) -> None:
    """A consumer setting that cannot be updated, such as `ack_policy`, fails."""
    create_durable(shared, ack_policy="none", max_ack_pending=0)

    found = examine()

    assert "fail" == status(found, TELEMETRY, "consumer")
    assert "ack_policy is 'none', expected 'explicit'" in found[TELEMETRY, "consumer"][0].message


def test_pending_messages_without_a_daemon_are_a_warning(shared: SharedStream, examine: Examine) -> None:
    """Pending messages of a consumer without a running daemon are a warning."""
    create_durable(shared)
    shared.publish(2)

    found = examine()

    assert "warn" == status(found, TELEMETRY, "delivery")
    assert "4 pending" in found[TELEMETRY, "delivery"][0].message


def test_paused_consumer_fails(shared: SharedStream, examine: Examine) -> None:
    """A paused consumer is reported with the command that resumes it."""
    create_durable(shared, pause_until="2100-01-01T00:00:00Z")

    found = examine()

    assert any("is paused" in one.message for one in found[TELEMETRY, "consumer"])


# Ledger.


def test_ack_floor_beyond_the_ledger_fails(shared: SharedStream, examine: Examine) -> None:
    """Acknowledged messages missing in the ledger fail, with a hint to run verify."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET committed = committed - '{[11,21)}'::int8multirange")

    found = examine()

    assert "fail" == status(found, TELEMETRY, "ledger")
    assert "messages 11 to 19" in found[TELEMETRY, "ledger"][0].message
    assert "eventwriter-ctl verify TELEMETRY/0" in found[TELEMETRY, "ledger"][0].hint


def test_ledger_beyond_the_ack_floor_is_ok(shared: SharedStream, examine: Examine) -> None:
    """Committed messages that are not acknowledged yet are counted, and the check is ok."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.jetstream(lambda js: js.delete_consumer(shared.stream, f"{shared.stream}-telemetry"))
    create_durable(shared)

    found = examine()

    # The last message of a round is another subject's.
    assert [
        ("ok", "ack floor 0 is within the ledger; 49 sequences are in the ledger but not acknowledged yet")
    ] == results(found[TELEMETRY, "ledger"])


def test_stream_behind_the_ledger_is_a_warning(shared: SharedStream, examine: Examine) -> None:
    """A stream that ends before the ledger is reported as gone backwards."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET last_seq = 899")

    found = examine()

    assert "it went backwards" in found[TELEMETRY, "ledger"][0].message


# PostgreSQL.


def test_unreachable_postgres_fails(examine: Examine) -> None:
    """An unreachable PostgreSQL server fails, and NATS is still checked."""
    found = examine({"EVENT_WRITER_POSTGRES_DSN": "postgresql://u:s3cret@127.0.0.1:1/x"})

    assert "fail" == status(found, "PostgreSQL", "TLS")
    assert "skip" == status(found, TELEMETRY, "tables")
    assert "ok" == status(found, TELEMETRY, "subjects")


DATABASE = [
    ("ALTER DATABASE {db} SET default_transaction_read_only = on", "server", "fail", "read-only by default"),
    ("ALTER TABLE eventwriter_ledger RENAME TO elsewhere", "ledger", "fail", "eventwriter_ledger does not exist"),
    ("ALTER TABLE eventwriter_dead_letters DROP COLUMN payload, ADD payload int[]", "ledger", "fail", "payload is"),
    ("UPDATE eventwriter_migrations SET checksum = 'x' WHERE version = 3", "migrations", "fail", "was changed after"),
    ("UPDATE eventwriter_migrations SET version = 900 WHERE version = 11", "migrations", "warn", "0900"),
]


@pytest.mark.parametrize(("sql", "check", "ended", "sentence"), DATABASE, ids=[case[1] + case[2] for case in DATABASE])
def test_changed_database_is_reported(
    shared: SharedStream, examine: Examine, sql: str, check: str, ended: str, sentence: str
) -> None:
    """A change in the database is found by the check that covers it."""
    shared.execute(sql.format(db=shared.dsn.rpartition("/")[2]))

    found = examine()

    assert ended == status(found, "PostgreSQL", check), results(found["PostgreSQL", check])
    assert sentence in found["PostgreSQL", check][0].message


TABLES = [
    ("DROP TABLE timeseries_metrics", "fail", "table timeseries_metrics does not exist"),
    ("ALTER TABLE timeseries_metrics DROP COLUMN value, ADD value date", "fail", "column value is date"),
    ("ALTER TABLE timeseries_metrics ADD mine int NOT NULL", "fail", "column mine (integer) is NOT NULL"),
    ("ALTER TABLE timeseries_metrics DROP COLUMN unit", "warn", "has no column unit"),
]


@pytest.mark.parametrize(("sql", "ended", "sentence"), TABLES, ids=[case[2] for case in TABLES])
def test_changed_table_is_reported(shared: SharedStream, examine: Examine, sql: str, ended: str, sentence: str) -> None:
    """A table, column or type that does not fit is found by binding the table as a worker does."""
    shared.execute(sql)

    found = examine()

    assert ended == status(found, TELEMETRY, "tables"), results(found[TELEMETRY, "tables"])
    assert sentence in found[TELEMETRY, "tables"][0].message
    assert "ok" == status(found, "NETFLOW/0", "tables")


@pytest.fixture
def weak_role(shared: SharedStream) -> Any:
    """A role with a connection limit of 1 and without privileges on our tables."""
    role = f"weak_{shared.stream}"
    shared.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    yield role
    shared.execute(f"DROP OWNED BY {role}")
    shared.execute(f"DROP ROLE {role}")


def test_missing_privileges_and_connections_are_reported(
    shared: SharedStream, examine: Examine, weak_role: str
) -> None:
    """Missing privileges and a connection limit that is too low are reported."""
    shared.execute(f"GRANT SELECT, INSERT ON eventwriter_ledger, eventwriter_dead_letters TO {weak_role}")
    dsn = shared.dsn.replace("postgres@", f"{weak_role}@")

    found = examine({"EVENT_WRITER_POSTGRES_DSN": dsn})

    assert "lacks UPDATE" in found["PostgreSQL", "ledger"][0].message
    assert "2 more workers need a connection" in found["PostgreSQL", "connections"][0].message
    assert f"role {weak_role} may not write" in found[TELEMETRY, "tables"][0].message


def secured_dsn(secured: Secured, port: int) -> str:
    """Return the connection string of a server with TLS."""
    return f"host=localhost hostaddr=127.0.0.1 port={port} user=writer password=s3cret dbname=metrics"


def test_postgres_certificate_is_verified(secured: Secured, examine: Examine, certificates: Certificates) -> None:
    """A trusted certificate is shown with its end; one of another authority fails."""
    dsn = secured_dsn(secured, secured.port)

    well = examine(postgres={"dsn": dsn, "sslrootcert": secured.certificates.ca_file})
    wrong = examine(postgres={"dsn": dsn, "sslrootcert": certificates.ca_file})

    # The test's certificate lives a day.
    assert "warn" == status(well, "PostgreSQL", "TLS")
    assert ", TLSv1.3, certificate: expires" in well["PostgreSQL", "TLS"][0].message
    assert "ok" == status(well, "PostgreSQL", "connection")
    assert "certificate verify failed" in wrong["PostgreSQL", "TLS"][0].message
    assert "sslrootcert" in wrong["PostgreSQL", "connection"][0].hint


def test_missing_root_certificate_is_reported(
    secured: Secured, examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a client certificate but no authority, the file that libpq looks for is reported with the key to set."""
    monkeypatch.setenv("HOME", str(tmp_path))

    found = examine(postgres={"dsn": secured_dsn(secured, secured.port), **secured.key("writer")})

    assert [("fail", f"certificate authorities {tmp_path}/.postgresql/root.crt: No such file or directory")] == results(
        found["PostgreSQL", "TLS"]
    )
    assert "postgres.sslrootcert" in found["PostgreSQL", "TLS"][0].hint


def test_standby_fails(secured: Secured, examine: Examine) -> None:
    """A standby is reported as such, with the parameter that finds the primary."""
    found = examine(postgres={"dsn": secured_dsn(secured, secured.replica_port)})

    assert "certificate: expires" in found["PostgreSQL", "TLS"][0].message
    assert "is a standby" in found["PostgreSQL", "server"][0].message
    assert "target_session_attrs" in found["PostgreSQL", "server"][0].hint

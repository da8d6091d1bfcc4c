"""`eventwriter doctor` on real servers: each failure provoked, and found where it is."""

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
from fix_books import Shared
from fix_nats import PEOPLE, Certificates, StartNats, operator_account
from fix_postgres import Secured
from fix_run import clean, command
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig, SubjectTransform

from eventwriter import clock
from eventwriter.admin.doctor import nats, postgres, runner
from eventwriter.admin.doctor.findings import Finding, exit_code

Examine = Callable[..., dict[tuple[str, str], list[Finding]]]


@pytest.fixture
def examine(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Examine the shared stream's configuration, with other settings where they are given; findings by check."""
    monkeypatch.setattr(nats, "_SAMPLE_S", 0.05)

    def run(environ: dict[str, str] | None = None, **top: Any) -> dict[tuple[str, str], list[Finding]]:
        if top:
            shared.run.config.write_text(json.dumps({**json.loads(shared.run.config.read_text()), **top}))
        found: dict[tuple[str, str], list[Finding]] = {}
        for finding in runner.run(str(shared.run.config), clean(environ)):
            found.setdefault((finding.group, finding.check), []).append(finding)
        return found

    return run


def said(findings: list[Finding]) -> list[tuple[str, str]]:
    """Return how a check ended, and its sentences."""
    return [(str(finding.status), finding.message) for finding in findings]


def worst(found: dict[tuple[str, str], list[Finding]]) -> dict[tuple[str, str], str]:
    """Return the checks that did not end well."""
    return {
        check: one.message for check, findings in found.items() for one in findings if one.status in ("warn", "fail")
    }


def status(found: dict[tuple[str, str], list[Finding]], group: str, check: str) -> str:
    """Return how a check's first finding ended."""
    return str(found[group, check][0].status)


TELEMETRY = "TELEMETRY/0"


def test_running_daemon_is_well(shared: Shared, examine: Examine) -> None:
    """With a daemon that runs, nothing is to be warned of but a server that does not care for its data."""
    shared.publish(5)
    shared.written()

    found = examine()

    # Tests run PostgreSQL without fsync; this is one of what doctor is for.
    assert {("PostgreSQL", "server")} == set(worst(found)), worst(found)
    assert "fsync = off" in found["PostgreSQL", "server"][0].message
    assert "delivered while" in found[TELEMETRY, "delivery"][0].message


def test_every_warning_and_failure_has_a_hint(shared: Shared, examine: Examine) -> None:
    """Every warning and failure has a hint."""
    found = examine(nats={"servers": ["nats://127.0.0.1:1"]}, control={"socket": "/nowhere/at/all.sock"})

    assert 2 == exit_code(one for findings in found.values() for one in findings)
    assert [] == [
        one for findings in found.values() for one in findings if one.status in ("warn", "fail") and not one.hint
    ]


def test_stream_that_stores_the_subjects_is_named(shared: Shared, examine: Examine) -> None:
    """For a missing stream, the hint names the stream that stores the entry's subjects."""
    entry = {"name": "TELEMETRY", "subject": f"{shared.stream}.t.>", "stream_name": "nosuch"}

    found = examine(streams=[entry])

    (missing,) = found["stream nosuch", "exists"]
    assert ("fail", True) == (str(missing.status), f'set stream_name = "{shared.stream}"' in (missing.hint or ""))


def test_what_needs_a_failed_check_is_skipped_with_the_reason(examine: Examine) -> None:
    """Where NATS is away, streams and slots are not looked at, and PostgreSQL is."""
    found = examine(nats={"servers": ["nats://127.0.0.1:1"]})

    assert "fail" == status(found, "NATS", "connection")
    assert [("skip", "skipped: NATS: connection failed")] == said(found["NATS", "version"])
    assert "skip" == status(found, TELEMETRY, "consumer")
    assert "ok" == status(found, TELEMETRY, "tables")


def test_command_prints_and_exits_by_the_worst(shared: Shared) -> None:
    """The command fits 80 columns, counts at the end, and exits with 2 where something fails."""
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


def test_broken_configuration_names_every_mistake(shared: Shared) -> None:
    """A file that cannot be used is all that is said, each mistake by itself; exit code 2."""
    shared.run.config.write_text('{"streams": 5, "nats": {"server": "x"}}')

    done = command("eventwriter", "doctor", "--config", str(shared.run.config), "--json")

    findings = json.loads(done.stdout)["findings"]
    assert 2 == done.returncode
    assert ["fail", "fail", "skip"] == [one["status"] for one in findings]


def test_no_secret_is_printed(shared: Shared) -> None:
    """Passwords of neither server are in the output, well or not."""
    dsn = shared.dsn.replace("postgres@", "postgres:s3cretpg@")
    environ = {"EVENT_WRITER_NATS_URL": "nats://u:s3cretnats@127.0.0.1:1", "EVENT_WRITER_POSTGRES_DSN": dsn}

    done = command("eventwriter", "doctor", "--config", str(shared.run.config), environ=environ)

    assert "s3cret" not in done.stdout + done.stderr
    assert "127.0.0.1" in done.stdout


def test_nothing_is_changed(shared: Shared, examine: Examine) -> None:
    """An examination before the first start leaves no consumer, no ledger row, no socket."""
    examine()

    infos = shared.act(lambda js: js.consumers_info(shared.stream))
    with psycopg.connect(shared.dsn) as conn:
        rows = conn.execute("SELECT count(*) FROM eventwriter_ledger").fetchone()
    assert ([], (0,), False) == (infos, rows, os.path.exists(shared.run.socket))


# Host.


def test_socket_of_a_dead_daemon_is_stale(shared: Shared, examine: Examine) -> None:
    """What a killed daemon left behind is said to be of no matter."""
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
def test_impossible_socket_fails(examine: Examine, control: dict[str, str], sentence: str) -> None:
    """A control socket that cannot be made is named before the daemon tries."""
    found = examine(control=control)

    assert "fail" == status(found, "host", "control socket")
    assert sentence in found["host", "control socket"][0].message


def test_daemon_of_another_configuration_is_said(shared: Shared, examine: Examine) -> None:
    """A daemon that runs other slots than the file has is named, with the difference."""
    shared.written()
    config = json.loads(shared.run.config.read_text())

    found = examine(streams=config["streams"][:1])

    assert "differ from this configuration (NETFLOW/0)" in found["host", "daemon"][0].message


def test_socket_with_another_mode_is_a_warning(shared: Shared, examine: Examine) -> None:
    """A changed mode of the daemon's socket is reported with both modes; the original mode is accepted."""
    shared.written()
    well = examine()
    os.chmod(shared.run.socket, 0o666)

    found = examine()

    assert "ok" == status(well, "host", "control socket")
    assert [("warn", f"{shared.run.socket} has mode 0666, but the configuration has 0660")] == said(
        found["host", "control socket"]
    )


# Files, names, TLS.


def test_certificates_that_end_are_named(examine: Examine, certificates: Certificates) -> None:
    """A certificate that ends within a month is a warning, one that has ended a failure."""
    soon, key = certificates.issue("localhost", days=5)
    over, _ = certificates.issue("localhost", days=-2)
    tls = {"ca_file": certificates.ca_file, "cert_file": soon, "key_file": key}

    found = examine(nats={"servers": ["tls://127.0.0.1:1"], "tls": tls})
    again = examine(nats={"servers": ["tls://127.0.0.1:1"], "tls": {**tls, "cert_file": over}})

    assert ["ok", "warn"] == [str(one.status) for one in found["files", "certificates"]]
    assert "fail" == str(again["files", "certificates"][1].status)


def test_secret_that_everybody_may_read_is_a_warning(examine: Examine, tmp_path: Path) -> None:
    """A password file with mode 0644 is reported with the command that fixes it."""
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)

    found = examine(nats={"servers": ["nats://127.0.0.1:1"], "user": "u", "password_file": str(secret)})

    assert [f"chmod o-rwx {secret}"] == [one.hint for one in found["files", "secrets"]]


def test_name_that_does_not_resolve_fails(examine: Examine) -> None:
    """A host that nobody knows is named, and the connection is not tried."""
    found = examine(nats={"servers": ["nats://nats.invalid:4222"]})

    assert "nats.invalid cannot be resolved" in found["NATS", "names"][0].message
    assert "skip" == status(found, "NATS", "connection")


def test_nats_certificate_is_verified(examine: Examine, start_nats: StartNats, certificates: Certificates) -> None:
    """A NATS server's certificate is shown with its end; one that ended, or of another authority, fails."""
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


def test_nats_certificate_that_ended_fails(
    examine: Examine, start_nats: StartNats, certificates: Certificates
) -> None:  # fmt: skip
    """A NATS server whose certificate has ended is named as that."""
    over, key = certificates.issue("localhost", days=-2)
    server = start_nats({"tls": {"cert_file": over, "key_file": key}})

    found = examine(nats={"servers": [server.url], "tls": {"ca_file": certificates.ca_file}})

    assert "certificate has expired" in found["NATS", "TLS"][0].message


def test_server_without_tls_fails_where_it_is_asked_for(examine: Examine, nats_url: str) -> None:
    """TLS that the configuration asks for and the server does not offer is named."""
    found = examine(nats={"servers": [nats_url.replace("nats://", "tls://")]})

    assert "offers no TLS" in found["NATS", "TLS"][0].message


def test_refused_login_fails(examine: Examine, start_nats: StartNats) -> None:
    """A login that NATS refuses is named, with the keys to check."""
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
def test_login_that_ends_is_named(
    examine: Examine, start_nats: StartNats, tmp_path: Path, days: float | None, ended: str, words: str, connected: str
) -> None:
    """A .creds file whose login has ended fails, as the server says too; one that ends within a month is a warning."""
    account, path = operator_account(), tmp_path / "user.creds"
    account.write(path, days and time.time() + days * 86_400)
    path.chmod(0o600)
    server = start_nats(account.config)

    found = examine(nats={"servers": [server.url], "creds_file": str(path)})

    assert ended == status(found, "files", "creds")
    assert words in found["files", "creds"][0].message
    assert connected == status(found, "NATS", "connection"), said(found["NATS", "connection"])


@pytest.mark.parametrize(
    ("ahead_s", "ended", "words"),
    [(5.0, "warn", "5.0 s ahead of"), (-5.0, "warn", "5.0 s behind"), (90.0, "fail", "90.0 s ahead of")],
)
def test_clocks_that_differ_are_named(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, ahead_s: float, ended: str, words: str
) -> None:
    """Both servers' clocks are held against this host's: which is ahead, and by how much."""
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
    """An account without JetStream is named."""
    accounts = {"accounts": {"A": {"users": [{"user": "writer", "password": "s3cret"}]}}}
    server = start_nats(accounts)

    found = examine(nats={"servers": [server.url], "user": "writer", "password": "s3cret"})

    assert "fail" == status(found, "NATS", "JetStream")
    assert "skip" == status(found, TELEMETRY, "consumer")


# Streams and consumers.


def test_missing_stream_fails(shared: Shared, examine: Examine) -> None:
    """A stream that is not there is named once, and what needs it is skipped."""
    shared.act(lambda js: js.delete_stream(shared.stream))

    found = examine()

    assert "fail" == status(found, f"stream {shared.stream}", "exists")
    assert "skip" == status(found, TELEMETRY, "ledger")


def test_subject_that_the_stream_lacks_fails(shared: Shared, examine: Examine) -> None:
    """An entry whose subjects the stream does not store is named; one of which it stores a part is a warning."""
    subjects = [f"{shared.stream}.t.a", f"{shared.stream}.x.>"]
    shared.act(lambda js: js.update_stream(StreamConfig(name=shared.stream, subjects=subjects)))

    found = examine()

    assert ("warn", "fail") == (status(found, TELEMETRY, "subjects"), status(found, "NETFLOW/0", "subjects"))


def test_transformed_subjects_are_recognised(shared: Shared, examine: Examine) -> None:
    """An entry that names what publishers write, where the stream stores something else, is told so."""
    config = StreamConfig(
        name=shared.stream,
        subjects=[f"{shared.stream}.>"],
        subject_transform=SubjectTransform(src=f"{shared.stream}.>", dest="stored.>"),
    )
    shared.act(lambda js: js.update_stream(config))
    shared.publish(1)

    found = examine()

    assert "the stream transforms it and stores stored.>" in found[TELEMETRY, "subjects"][0].message


def test_backlog_close_to_the_limit_is_a_warning(shared: Shared, examine: Examine) -> None:
    """Unread messages that have used a limit up are named before they are dropped."""
    subjects = [f"{shared.stream}.>"]
    shared.act(lambda js: js.update_stream(StreamConfig(name=shared.stream, subjects=subjects, max_msgs=100)))
    shared.publish(12)

    warned = examine()
    shared.publish(10)
    failed = examine()

    assert ("warn", "fail") == (status(warned, TELEMETRY, "backlog"), status(failed, TELEMETRY, "backlog"))
    assert "max_msgs drops it" in warned[TELEMETRY, "backlog"][0].message


def test_limits_that_drop_unread_messages_are_warnings(shared: Shared, examine: Examine) -> None:
    """max_msgs_per_subject, and a stream that refuses publishers, are named."""
    config = {
        "name": shared.stream, "subjects": [f"{shared.stream}.>"], "max_msgs_per_subject": 1000, "max_msgs": 20,
        "discard": "new",
    }  # fmt: skip
    shared.act(lambda js: js.update_stream(StreamConfig.from_response(config)))
    shared.publish(4)

    found = examine()

    sentences = [one.message for one in found[f"stream {shared.stream}", "limits"]]
    assert ["warn", "fail"] == [str(one.status) for one in found[f"stream {shared.stream}", "limits"]]
    assert "max_msgs_per_subject is 1,000" in sentences[0]
    assert "publishers are refused" in sentences[1]


def test_interest_stream_without_consumer_fails(shared: Shared, examine: Examine) -> None:
    """An interest stream drops messages without a consumer, so a missing consumer fails there."""
    shared.act(lambda js: js.delete_stream(shared.stream))
    config = StreamConfig(name=shared.stream, subjects=[f"{shared.stream}.>"], retention=RetentionPolicy.INTEREST)
    shared.act(lambda js: js.add_stream(config))

    found = examine()

    assert "drops messages without a consumer" in found[TELEMETRY, "consumer"][0].message


def test_stream_in_memory_is_a_warning(shared: Shared, examine: Examine) -> None:
    """A stream that its server forgets is named."""
    shared.act(lambda js: js.delete_stream(shared.stream))
    config = {"name": shared.stream, "subjects": [f"{shared.stream}.>"], "storage": "memory"}
    shared.act(lambda js: js.add_stream(StreamConfig.from_response(config)))

    found = examine()

    assert "stored in memory" in found[f"stream {shared.stream}", "retention"][0].message


def durable(shared: Shared, **config: Any) -> None:
    """Make TELEMETRY's durable by hand."""
    given = {
        "durable_name": f"{shared.stream}-telemetry", "ack_policy": "explicit", "max_deliver": -1,
        "filter_subject": f"{shared.stream}.t.>", **config,
    }  # fmt: skip
    shared.act(lambda js: js.add_consumer(shared.stream, ConsumerConfig.from_response(given)))


def test_drift_that_nats_can_change_is_a_warning(shared: Shared, examine: Examine) -> None:
    """A consumer with other settings is named with both values."""
    durable(shared, max_deliver=3)

    found = examine()

    assert "warn" == status(found, TELEMETRY, "consumer")
    assert "max_deliver is 3, expected -1" in found[TELEMETRY, "consumer"][0].message


def test_drift_that_nats_cannot_change_fails(shared: Shared, examine: Examine) -> None:
    """A consumer that acknowledges by itself loses messages, and cannot be changed."""
    durable(shared, ack_policy="none", max_ack_pending=0)

    found = examine()

    assert "fail" == status(found, TELEMETRY, "consumer")
    assert "ack_policy is 'none', expected 'explicit'" in found[TELEMETRY, "consumer"][0].message


def test_messages_that_nobody_takes_are_a_warning(shared: Shared, examine: Examine) -> None:
    """A consumer with messages pending and no daemon is named."""
    durable(shared)
    shared.publish(2)

    found = examine()

    assert "warn" == status(found, TELEMETRY, "delivery")
    assert "4 pending" in found[TELEMETRY, "delivery"][0].message


def test_paused_consumer_fails(shared: Shared, examine: Examine) -> None:
    """A paused consumer is reported with the command that resumes it."""
    durable(shared, pause_until="2100-01-01T00:00:00Z")

    found = examine()

    assert any("is paused" in one.message for one in found[TELEMETRY, "consumer"])


# Ledger.


def test_ack_floor_beyond_the_ledger_fails(shared: Shared, examine: Examine) -> None:
    """Acknowledged messages that the ledger lacks fail, and verify is named."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET committed = committed - '{[11,21)}'::int8multirange")

    found = examine()

    assert "fail" == status(found, TELEMETRY, "ledger")
    assert "messages 11 to 19" in found[TELEMETRY, "ledger"][0].message
    assert "eventwriter-ctl verify TELEMETRY/0" in found[TELEMETRY, "ledger"][0].hint


def test_ledger_beyond_the_ack_floor_is_well(shared: Shared, examine: Examine) -> None:
    """What is committed and not acknowledged is counted, and nothing is to be done about it."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.act(lambda js: js.delete_consumer(shared.stream, f"{shared.stream}-telemetry"))
    durable(shared)

    found = examine()

    # The last message of a round is another subject's.
    assert [
        ("ok", "ack floor 0 is within the ledger; 49 sequences are in the ledger but not acknowledged yet")
    ] == said(found[TELEMETRY, "ledger"])


def test_stream_behind_the_ledger_is_a_warning(shared: Shared, examine: Examine) -> None:
    """A stream that ends before the ledger does went backwards."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET last_seq = 899")

    found = examine()

    assert "it went backwards" in found[TELEMETRY, "ledger"][0].message


# PostgreSQL.


def test_postgres_away_fails(examine: Examine) -> None:
    """A PostgreSQL that does not answer is named, and NATS is looked at all the same."""
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
def test_drift_of_the_database_is_named(
    shared: Shared, examine: Examine, sql: str, check: str, ended: str, sentence: str
) -> None:
    """A change in the database is found by the check that covers it."""
    shared.execute(sql.format(db=shared.dsn.rpartition("/")[2]))

    found = examine()

    assert ended == status(found, "PostgreSQL", check), said(found["PostgreSQL", check])
    assert sentence in found["PostgreSQL", check][0].message


TABLES = [
    ("DROP TABLE timeseries_metrics", "fail", "table timeseries_metrics does not exist"),
    ("ALTER TABLE timeseries_metrics DROP COLUMN value, ADD value date", "fail", "column value is date"),
    ("ALTER TABLE timeseries_metrics ADD mine int NOT NULL", "fail", "column mine (integer) is NOT NULL"),
    ("ALTER TABLE timeseries_metrics DROP COLUMN unit", "warn", "has no column unit"),
]


@pytest.mark.parametrize(("sql", "ended", "sentence"), TABLES, ids=[case[2] for case in TABLES])
def test_drift_of_a_table_is_named(shared: Shared, examine: Examine, sql: str, ended: str, sentence: str) -> None:
    """A table, column or type that does not fit is found by binding it as a worker would."""
    shared.execute(sql)

    found = examine()

    assert ended == status(found, TELEMETRY, "tables"), said(found[TELEMETRY, "tables"])
    assert sentence in found[TELEMETRY, "tables"][0].message
    assert "ok" == status(found, "NETFLOW/0", "tables")


@pytest.fixture
def weak(shared: Shared) -> Any:
    """A role that may connect once, and may do nothing with our tables."""
    role = f"weak_{shared.stream}"
    shared.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    yield role
    shared.execute(f"DROP OWNED BY {role}")
    shared.execute(f"DROP ROLE {role}")


def test_privileges_and_connections_that_lack_are_named(shared: Shared, examine: Examine, weak: str) -> None:
    """A role that may not write, and may not connect often enough, is told both."""
    shared.execute(f"GRANT SELECT, INSERT ON eventwriter_ledger, eventwriter_dead_letters TO {weak}")
    dsn = shared.dsn.replace("postgres@", f"{weak}@")

    found = examine({"EVENT_WRITER_POSTGRES_DSN": dsn})

    assert "lacks UPDATE" in found["PostgreSQL", "ledger"][0].message
    assert "2 more workers need a connection" in found["PostgreSQL", "connections"][0].message
    assert f"role {weak} may not write" in found[TELEMETRY, "tables"][0].message


def secured_dsn(secured: Secured, port: int) -> str:
    """Return how to reach the server that has TLS."""
    return f"host=localhost hostaddr=127.0.0.1 port={port} user=writer password=s3cret dbname=metrics"


def test_postgres_certificate_is_verified(secured: Secured, examine: Examine, certificates: Certificates) -> None:
    """PostgreSQL's certificate is shown with its end where it is verified; another authority's fails."""
    dsn = secured_dsn(secured, secured.port)

    well = examine(postgres={"dsn": dsn, "sslrootcert": secured.certificates.ca_file})
    wrong = examine(postgres={"dsn": dsn, "sslrootcert": certificates.ca_file})

    # The test's certificate lives a day.
    assert "warn" == status(well, "PostgreSQL", "TLS")
    assert ", TLSv1.3, certificate: expires" in well["PostgreSQL", "TLS"][0].message
    assert "ok" == status(well, "PostgreSQL", "connection")
    assert "certificate verify failed" in wrong["PostgreSQL", "TLS"][0].message
    assert "sslrootcert" in wrong["PostgreSQL", "connection"][0].hint


def test_our_certificate_alone_verifies_the_server(
    secured: Secured, examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a certificate of our own and nobody to trust, the file that libpq would look for is named, and the key."""
    monkeypatch.setenv("HOME", str(tmp_path))

    found = examine(postgres={"dsn": secured_dsn(secured, secured.port), **secured.key("writer")})

    assert [("fail", f"certificate authorities {tmp_path}/.postgresql/root.crt: No such file or directory")] == said(
        found["PostgreSQL", "TLS"]
    )
    assert "postgres.sslrootcert" in found["PostgreSQL", "TLS"][0].hint


def test_standby_fails(secured: Secured, examine: Examine) -> None:
    """A replica is named as one, with the parameter that finds the primary."""
    found = examine(postgres={"dsn": secured_dsn(secured, secured.replica_port)})

    assert "certificate: expires" in found["PostgreSQL", "TLS"][0].message
    assert "is a standby" in found["PostgreSQL", "server"][0].message
    assert "target_session_attrs" in found["PostgreSQL", "server"][0].hint

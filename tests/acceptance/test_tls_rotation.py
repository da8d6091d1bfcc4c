"""Rotation of certificates and passwords on both sides while the daemon runs."""

import asyncio
import json
import shutil
import ssl
from pathlib import Path

import nats
import psycopg
from fix_nats import Certificates, NatsServer, StartNats
from fix_postgres import Secured
from fix_run import Run, command


def go_file(server: NatsServer, secured: Secured, certs: Path) -> dict[str, object]:
    """Return the Go writer's configuration with mutual TLS to NATS and TLS to PostgreSQL."""
    return {
        "listen_addr": "127.0.0.1:0",
        "nats_url": server.url,
        "stream_name": "events",
        "consumer_name": "db-event-writer",
        "nats_security": {
            "mode": "mtls",
            "cert_dir": str(certs),
            "server_name": "nats.example",
            "tls": {"cert_file": "ours.pem", "key_file": "ours-key.pem", "ca_file": "root.pem"},
        },
        "cnpg": {
            "host": "localhost",
            "port": secured.port,
            "database": "rotated",
            "username": "rotated",
            "ssl_mode": "verify-full",
            "tls": {"ca_file": secured.certificates.ca_file},
        },
        "streams": [{"subject": "telemetry.>", "table": "timeseries_metrics"}],
    }


def install(authority: Certificates, certs: Path) -> dict[str, object]:
    """Install a client certificate of this authority; return the server's configuration."""
    certs.mkdir(exist_ok=True)
    for source, name in zip(authority.issue("writer.example"), ("ours.pem", "ours-key.pem"), strict=True):
        shutil.copyfile(source, certs / name)
    shutil.copyfile(authority.ca_file, certs / "root.pem")
    cert_file, key_file = authority.issue("nats.example")
    return {"tls": {"cert_file": cert_file, "key_file": key_file, "ca_file": authority.ca_file, "verify": True}}


async def publish(server: NatsServer, certs: Path, count: int) -> None:
    """Publish numbered samples, and wait until all of them are stored."""
    context = ssl.create_default_context(cafile=str(certs / "root.pem"))
    context.load_cert_chain(certs / "ours.pem", certs / "ours-key.pem")
    client = await nats.connect(server.url, tls=context, tls_hostname="nats.example")
    jetstream = client.jetstream()
    await jetstream.add_stream(name="events", subjects=["telemetry.>"])
    for n in range(count):
        await jetstream.publish("telemetry.test", json.dumps({"value": n}).encode())
    await client.close()


def test_rotated_certificates_and_passwords_need_no_restart(
    start_nats: StartNats, secured: Secured, tmp_path: Path
) -> None:
    """A daemon with the Go writer's mTLS file continues when authority, certificate and password change."""
    certs, password_file = tmp_path / "certs", tmp_path / "password"
    server = start_nats(install(Certificates(tmp_path / "old"), certs))
    password_file.write_text("first\n")
    with psycopg.connect(secured.superuser, autocommit=True) as conn:
        conn.execute("CREATE ROLE rotated LOGIN PASSWORD 'first'")
        conn.execute("CREATE DATABASE rotated OWNER rotated")
    environ = {"EVENT_WRITER_ENABLED": "1", "CNPG_PASSWORD_FILE": str(password_file)}
    run = Run(tmp_path, go_file(server, secured, certs), environ)
    migrated = command("eventwriter", "migrate", "--config", str(run.config), environ=environ)
    assert 0 == migrated.returncode, migrated.stderr
    asyncio.run(publish(server, certs, 10))
    run.start()
    try:
        run.until(lambda status: status["slots"][0]["rows_total"] == 10, "written over TLS")

        server.stop()
        server.configure(install(Certificates(tmp_path / "new"), certs))
        server.start()
        password_file.write_text("second\n")
        with psycopg.connect(secured.superuser, autocommit=True) as conn:
            conn.execute("ALTER ROLE rotated PASSWORD 'second'")
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'")
        asyncio.run(publish(server, certs, 10))

        status = run.until(lambda status: status["slots"][0]["rows_total"] == 20, "written after the rotation")
        assert 0 == status["slots"][0]["restarts"]
    finally:
        code = run.stop()
    assert 0 == code
    assert not any(word in run.log() for word in ("first", "second", "Traceback"))

"""Faults of logins, permissions, limits and TLS at NATS."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.environment import Environment, Setup
from faults.harness import Fault, Injection
from faults.publisher import large
from fix_nats import Certificates, operator_account

MIB = 2**20
DAY_S = 86400


def server_tls(folder: Path) -> dict[str, Any]:
    """Return the TLS configuration of a server."""
    cert_file, key_file = Certificates(folder).issue("localhost")
    return {"cert_file": cert_file, "key_file": key_file}


def users(**permissions: Any) -> dict[str, Any]:
    """Return the users of the test and of the daemon, the latter with these permissions."""
    writer = {"user": "writer", "password": "w", **({"permissions": permissions} if permissions else {})}
    return {"users": [{"user": "tester", "password": "t"}, writer]}


def with_tls_and_users(env: Environment) -> None:
    """Require TLS and logins, and limit the bytes of a pull."""
    folder = env.folder / "certificates"
    tls = server_tls(folder)
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    env.login = {"user": "tester", "password": "t", "tls": context, "tls_hostname": "localhost"}
    env.configure_nats(tls=tls, authorization=users())
    login = {"user": "writer", "password": "w", "tls": {"ca_file": str(folder / "ca.pem")}}
    env.write(nats=login, streams={"max_batch_bytes": MIB})


def with_creds(env: Environment) -> None:
    """Log the daemon in with a creds file; the creds of the test itself do not expire."""
    account = operator_account()
    env.resources["account"] = account
    account.write(env.folder / "tester.creds")
    account.write(env.folder / "writer.creds", time.time() + DAY_S)
    env.login = {"user_credentials": str(env.folder / "tester.creds")}
    env.configure_nats(keep=False, **account.config)
    env.write(nats={"creds_file": str(env.folder / "writer.creds")})


TLS_AND_USERS = Setup("tls and users", with_tls_and_users)
CREDS = Setup("creds", with_creds)


def killed(env: Environment) -> Injection:
    env.servers.nats.kill()
    env.wait(0.3)
    env.servers.nats.start()
    yield


def repeatedly_reset(env: Environment) -> Injection:
    for _ in range(3):
        cuts = env.nats.cuts
        env.nats.cut_after(env.rng.randrange(1, 20_000))
        for _ in range(100):
            if env.nats.cuts > cuts:
                break
            env.wait(0.02)
    env.nats.heal()
    yield


def revoked(*subjects: str) -> Callable[[Environment], Injection]:
    """Return an injection that revokes the permission to publish to these subjects, and grants it again."""

    def inject(env: Environment) -> Injection:
        env.reload_nats(authorization=users(publish={"deny": list(subjects)}))
        env.until_slot("the reason is the denial", lambda slot: "denies publishing" in (slot["reason"] or ""))
        env.reload_nats(authorization=users())
        yield

    return inject


def login_removed(env: Environment) -> Injection:
    env.reload_nats(authorization={"users": users()["users"][:1]})
    env.until_slot("the reason is the login", lambda slot: "login" in (slot["reason"] or ""))
    env.reload_nats(authorization=users())
    yield


def creds_expired(env: Environment) -> Injection:
    path, account = env.folder / "writer.creds", env.resources["account"]
    account.write(path, time.time() + 2)
    env.nats.cut()
    env.until_slot("the reason is the creds file", lambda slot: "creds_file" in (slot["reason"] or ""))
    account.write(path, time.time() + DAY_S)
    yield
    assert 0 == env.slot()["restarts"]


def max_payload_raised(env: Environment) -> Injection:
    """The pull requests of the running daemon are sized for the old limit."""
    with env.publisher.paused():
        env.reload_nats(max_payload=8 * MIB)
        env.js(lambda js: env.publisher.add_large(js, large(8 * MIB), 2))
    yield
    env.reload_nats(max_payload=MIB)


def fault(name: str, description: str, inject: Callable[[Environment], Injection], **more: Any) -> Fault:
    """Return a fault of NATS, by default in the environment with TLS and logins."""
    return Fault(name, "nats", description, inject, **{"setup": TLS_AND_USERS, **more})


NEXT, ACKS = "$JS.API.CONSUMER.MSG.NEXT.>", "$JS.ACK.>"

FAULTS = (
    fault("TLS: server killed", "kill -9; restarted after 0.3 s", killed),
    fault("TLS: repeated resets", "three RSTs, each after a random number of bytes", repeatedly_reset),
    fault("pull denied", f"the permission to publish to {NEXT} is revoked and granted again", revoked(NEXT)),
    fault("ack denied", f"the permission to publish to {ACKS} is revoked and granted again", revoked(ACKS)),
    fault("API denied", "the permission to publish to $JS.API.> is revoked and granted again", revoked("$JS.API.>")),
    fault("login removed", "the user is removed and added again", login_removed),
    fault(
        "max_payload raised",
        "to 8 MiB while the daemon runs, with such messages; a pull requests 1 MiB",
        max_payload_raised,
        memory_margin_bytes=96 * MIB,
    ),
    fault("creds expired", "the server disconnects the daemon; new creds are written", creds_expired, setup=CREDS),
)

"""Faults of logins, permissions, limits and TLS at NATS."""

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.bed import Bed, Setup
from faults.book import large
from faults.harness import Act, Fault
from fix_nats import Certificates, operator_account

MIB = 2**20
DAY_S = 86400


def server_tls(folder: Path) -> dict[str, Any]:
    """Return a server's TLS configuration."""
    cert_file, key_file = Certificates(folder).issue("localhost")
    return {"cert_file": cert_file, "key_file": key_file}


def users(**permissions: Any) -> dict[str, Any]:
    """Return two users: who tests, and the daemon's with these permissions."""
    writer = {"user": "writer", "password": "w", **({"permissions": permissions} if permissions else {})}
    return {"users": [{"user": "tester", "password": "t"}, writer]}


def with_tls_and_users(bed: Bed) -> None:
    """Prepare a bed with TLS and logins, and pulls of few bytes."""
    folder = bed.folder / "certificates"
    tls = server_tls(folder)
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    bed.login = {"user": "tester", "password": "t", "tls": context, "tls_hostname": "localhost"}
    bed.configure_nats(tls=tls, authorization=users())
    login = {"user": "writer", "password": "w", "tls": {"ca_file": str(folder / "ca.pem")}}
    bed.write(nats=login, streams={"max_batch_bytes": MIB})


def with_creds(bed: Bed) -> None:
    """Prepare a bed whose daemon logs in with a creds file; the test's own never ends."""
    account = operator_account()
    bed.kept["account"] = account
    account.write(bed.folder / "tester.creds")
    account.write(bed.folder / "writer.creds", time.time() + DAY_S)
    bed.login = {"user_credentials": str(bed.folder / "tester.creds")}
    bed.configure_nats(keep=False, **account.config)
    bed.write(nats={"creds_file": str(bed.folder / "writer.creds")})


TLS_AND_USERS = Setup("tls and users", with_tls_and_users)
CREDS = Setup("creds", with_creds)


def killed(bed: Bed) -> Act:
    bed.servers.nats.kill()
    bed.wait(0.3)
    bed.servers.nats.start()
    yield


def cut_in_tls(bed: Bed) -> Act:
    for _ in range(3):
        cuts = bed.nats.cuts
        bed.nats.cut_after(bed.rng.randrange(1, 20_000))
        for _ in range(100):
            if bed.nats.cuts > cuts:
                break
            bed.wait(0.02)
    bed.nats.heal()
    yield


def revoked(*subjects: str) -> Callable[[Bed], Act]:
    """Return an act: the permission to publish there is taken at run time, and given back."""

    def act(bed: Bed) -> Act:
        bed.reload_nats(authorization=users(publish={"deny": list(subjects)}))
        bed.until_slot("it says what is denied", lambda slot: "NATS denies publishing to" in (slot["reason"] or ""))
        bed.reload_nats(authorization=users())
        yield

    return act


def login_removed(bed: Bed) -> Act:
    bed.reload_nats(authorization={"users": users()["users"][:1]})
    bed.until_slot("it says that the login is refused", lambda slot: "refused the login" in (slot["reason"] or ""))
    bed.reload_nats(authorization=users())
    yield


def creds_expired(bed: Bed) -> Act:
    path, account = bed.folder / "writer.creds", bed.kept["account"]
    account.write(path, time.time() + 2)
    bed.nats.cut()
    bed.until_slot("it says that the creds are over", lambda slot: "creds_file" in (slot["reason"] or ""))
    account.write(path, time.time() + DAY_S)
    yield
    assert 0 == bed.slot()["restarts"]


def limit_raised(bed: Bed) -> Act:
    """The requests of the running daemon are sized for the old limit."""
    with bed.publisher.resting():
        bed.reload_nats(max_payload=8 * MIB)
        bed.js(lambda js: bed.publisher.add_large(js, large(8 * MIB), 2))
    yield
    bed.reload_nats(max_payload=MIB)


def fault(name: str, does: str, act: Callable[[Bed], Act], **more: Any) -> Fault:
    """Return a fault of this side, on the bed with TLS unless another is named."""
    return Fault(name, "nats", does, act, **{"setup": TLS_AND_USERS, **more})


NEXT, ACKS = "$JS.API.CONSUMER.MSG.NEXT.>", "$JS.ACK.>"

FAULTS = (
    fault("TLS: server killed", "kill -9, 0.3 s down, started again", killed),
    fault("TLS: RST in the middle", "reset three times, each after a random number of bytes", cut_in_tls),
    fault("pulling denied", f"publish to {NEXT} is denied by a reload, and given back", revoked(NEXT)),
    fault("acks denied", f"publish to {ACKS} is denied by a reload, and given back", revoked(ACKS)),
    fault("API denied", "publish to $JS.API.> is denied by a reload, and given back", revoked("$JS.API.>")),
    fault("login removed", "the user is removed by a reload, and comes back", login_removed),
    fault(
        "limit raised",
        "max_payload raised to 8 MiB in use, and such messages; a pull asks for 1 MiB",
        limit_raised,
        memory_margin_bytes=96 * MIB,
    ),
    fault("creds expired", "the login ends and the server cuts; new creds are written", creds_expired, setup=CREDS),
)

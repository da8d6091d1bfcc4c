"""
How every transaction begins: with what this worker wants to be set in it, and no longer.

SET LOCAL in the transaction, not at connect: a transaction-pooling proxy keeps neither.
"""

from eventwriter.config.settings import PostgresSettings

_LOCK_S_MAX = 10.0
"""Waited for a lock, or half a statement's time; above that it is somebody's ALTER or VACUUM FULL, and an outage."""
_DURABLE = (
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', true)"
    " WHERE pg_catalog.current_setting('synchronous_commit') = 'off'"
)
"""What is acknowledged to JetStream must outlive a crash of the server; whoever says otherwise in `runtime_params`
means it. The stronger values, for standbys, are left alone."""


def begin_sql(settings: PostgresSettings) -> str:
    """Return BEGIN and what is set, for one round trip; `runtime_params` win."""
    statement_s = settings.statement_timeout_s
    timeouts = {"statement_timeout": statement_s, "lock_timeout": min(_LOCK_S_MAX, statement_s / 2)}
    params = {**{name: f"{round(s * 1000)}" for name, s in timeouts.items()}, **settings.runtime_params}
    words = ["BEGIN", *(f"SET LOCAL {_name(name)} = {_value(name, text)}" for name, text in params.items())]
    return "; ".join(words if "synchronous_commit" in params else [*words, _DURABLE])


def _name(name: str) -> str:
    """Quote a parameter's name, which comes from the configuration."""
    return '"' + name.replace('"', '""') + '"'


def _value(name: str, text: str) -> str:
    """Quote a parameter's value; a list of schemas stays a list."""
    if name == "search_path":
        return ", ".join('"' + part.strip().strip('"').replace('"', '""') + '"' for part in text.split(","))
    return "'" + text.replace("'", "''") + "'"

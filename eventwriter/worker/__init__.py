"""
A worker process: one slot's sessions between JetStream and PostgreSQL.

`main.py` runs one session after the other, `session.py` builds a session, and `context.py` keeps what outlives
sessions. `commands.py` handles the supervisor's commands, `heartbeat.py` reports to it.
"""

"""
eventwriter: messages from NATS JetStream into PostgreSQL; nothing lost, nothing twice.

The map, from the outside in:

cli         commands for people: `eventwriter`, `eventwriter-ctl`
demo        real servers in a folder, and traffic for them
supervisor  the parent process: forks one worker per slot, watches, restarts, answers
worker      one child process: binds to a stream and its tables, runs the line
pipeline    the line: pull → decode → rows → batch → copy → ack (begin with line.py)
jetstream   all that knows nats-py
kinds       which payloads there are and which tables they fill
postgres    all that knows libpq: COPY, ledger, dead letters, migrations
tables      records to rows, one file per table
formats     bytes to records
control     the conversation over the control socket
observe     logs, the host
config      settings: file, environment, defaults
model       what travels: messages, slots, outcomes
"""

__version__ = "0.1.0"

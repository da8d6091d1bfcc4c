"""
eventwriter moves messages from NATS JetStream into PostgreSQL, each one exactly once.

The folders, from the outermost to the innermost; imports point only downward:

cli         commands: `eventwriter` and, in cli/ctl, `eventwriter-ctl`
demo        embedded servers and sample traffic
supervisor  the parent process: starts, watches and restarts workers, answers operators (main.py)
web         the web child: dashboard, health, metrics
admin       one-shot tools: doctor, verify, replay of dead letters, explain
worker      the child process of one slot: binds to stream and tables, runs the pipeline (main.py)
pipeline    pull → decode → rows → batch → copy → ack (pipeline.py)
jetstream   everything that uses nats-py: connection, consumer, pull, acks
kinds       kinds of messages: names.py, and registry.py with decoders and tables
postgres    everything that uses psycopg: session, COPY, ledger, dead letters, migrations
tables      records to rows, one file per table
formats     bytes to records, one file per encoding
control     control socket, and the link between supervisor and workers
observe     log, heartbeat record, histograms, process usage
config      settings from file, environment and defaults
model.py    messages, slots, outcomes; errors.py the error families; clock.py the time
"""

__version__ = "0.1.0"

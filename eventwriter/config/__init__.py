"""
The configuration: `settings` declares every key, `load` merges file, environment and flags.

The package does not import nats or psycopg; `libpq` parses and builds connection strings itself.
"""

"""
Everything that uses libpq: connections, COPY, the ledger, dead letters, migrations.

No other package imports psycopg. Its exceptions are mapped here to the families of
`eventwriter.errors`.
"""

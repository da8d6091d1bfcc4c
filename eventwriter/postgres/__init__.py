"""
All that knows libpq: connecting, COPY, the ledger, dead letters, migrations.

Nothing above this package imports psycopg. Its exceptions are mapped to the three
families of `eventwriter.errors` here.
"""

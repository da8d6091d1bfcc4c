"""
Plain Python to row tuples, one file per SQL table, column list and row on one screen.

Pure: no asyncio, no sockets, no clock, no NATS, no psycopg. A function here gets a
record and its message and returns a tuple, or raises `Poison`.
"""

"""Bytes to plain Python, and the readings of single fields. Pure: no asyncio, sockets, clock, NATS or psycopg."""

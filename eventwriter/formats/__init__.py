"""Decoders for payloads and readers for single fields. Pure: no asyncio, sockets, clock, NATS or psycopg."""

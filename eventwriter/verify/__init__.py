"""
Proving the books in production, read-only, while the daemon runs.

`judge` holds JetStream's numbers against the ledger and says which sequences need a
look; `expected` says what a message's rows must be; `slot` asks the servers and puts
it together; `report` is what comes out. Only `slot` meets a server.
"""

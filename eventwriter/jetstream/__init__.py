"""
NATS JetStream: connection, consumer, pull loop and acknowledgements.

No package above this one imports nats. nats-py's exceptions are mapped here to the three families of
`eventwriter.errors`.
"""

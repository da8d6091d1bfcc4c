"""
All that knows nats-py: connecting, the consumer, the pull loop, and answers.

Nothing above this package imports nats. nats-py's exceptions are mapped to the
three families of `eventwriter.errors` here.
"""

"""
The three error families, which decide what happens to a message or a slot.

`Retryable`: the world is not ready (a server is away, a disk is full); the same
work is tried again. `Poison`: this message can never become rows; it becomes a
dead letter. `Fatal`: nobody but an operator can mend it (a missing table, a
refused login); the slot is parked with the sentence that says what to do.

Foreign exceptions (nats-py's, psycopg's, the operating system's) are mapped to
these at the package's boundaries, once, and travel no further.
"""

DETAIL_CHARACTERS_MAX = 500
"""Of a sentence about a message: it goes into logs and onto screens, and the payload is kept elsewhere."""


class EventwriterError(Exception):
    """Anything that eventwriter raises on purpose; the text is meant to be read by an operator."""


class Retryable(EventwriterError):
    """The same work may succeed later; nothing is lost by waiting."""


class Fatal(EventwriterError):
    """An operator must act: the sentence says what is wrong, where, and what to do."""


class Poison(EventwriterError):
    """
    A message that can never become rows.

    Args:
        reason: A bounded word that metrics are labelled with: `malformed`,
            `missing_field`, `bad_value`, `unknown_shape`, `too_large`, `no_table` (no table of the slot stores
            records of this shape), `rejected` (PostgreSQL refused its rows), `crash_loop` (workers died
            decoding it).
        detail: One sentence for the dead letter; cut where a payload's value makes it long.
        sqlstate: PostgreSQL's code, where PostgreSQL was the one to refuse.
    """

    def __init__(self, reason: str, detail: str, sqlstate: str | None = None) -> None:
        if len(detail) > DETAIL_CHARACTERS_MAX:
            detail = detail[: DETAIL_CHARACTERS_MAX - 3] + "..."
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.sqlstate = sqlstate


class ConfigError(EventwriterError):
    """
    The configuration cannot be used.

    Args:
        mistakes: One sentence each, with key path, value, and what is allowed.
            All of them, not the first.
        source: The file, where there is one.
    """

    def __init__(self, mistakes: list[str], source: str | None = None) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes
        self.source = source

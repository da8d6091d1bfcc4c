"""Ordered checks of everything that the daemon needs, with a hint for each failure; nothing is changed anywhere."""

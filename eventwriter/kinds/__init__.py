"""Kinds of messages: their names, decoders and tables."""

"""The control socket between operators and the supervisor, and the link between supervisor and workers."""

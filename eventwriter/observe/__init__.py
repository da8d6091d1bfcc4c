"""What the processes say about themselves: log lines and the figures of the host."""

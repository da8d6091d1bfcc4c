"""The conversation between a daemon and its operators: JSON lines over a Unix socket. It knows nothing of workers."""

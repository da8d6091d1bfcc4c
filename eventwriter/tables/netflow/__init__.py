"""Row builders for network flows."""

"""Files of the dashboard, served unchanged; there is no build step."""

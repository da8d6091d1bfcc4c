"""Logs, metrics, heartbeats and process figures: what operators see of the daemon."""

"""Row builders for the OCSF tables `ocsf_events` and `ocsf_network_activity`."""

"""`eventwriter-ctl dlq`: list, show, replay, export and purge dead letters."""

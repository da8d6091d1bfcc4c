"""
Settings: what there is to set (`settings.py`), and where the values come from (`load.py`).

Knows nothing of nats or psycopg; builds connection strings by hand.
"""

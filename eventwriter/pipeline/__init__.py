"""
The line: pull → decode → rows → batch → copy → ack. Read `line.py` first.

Stages do not know each other; only `line.py` joins them.
"""

"""
One child process: it binds to its stream and its tables, and runs the line.

`main.py` is its life, `wiring.py` puts the line together, `heartbeat.py` tells the
parent, `fault_points.py` is for tests.
"""

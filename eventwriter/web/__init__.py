"""
The web child: health, status, metrics and the dashboard over HTTP, all read-only.

One process of its own beside the workers. It asks the supervisor for the snapshot
once a second over the control socket, and every reader is served from that one
answer. Nothing here can change anything, and nothing here is needed for writing.

`feed` asks, `history` remembers fifteen minutes, `view` turns both into what the
dashboard draws, `exposition` into Prometheus's text; `access` decides who may read.
"""

"""
One file, the environment and the flags, made into frozen `Settings`, or into a list of all mistakes.

Read in this order: `settings` (every knob), `load` (the order of the sources),
`streams` (what an entry leaves out), `go_format` and `environment` (the names of
the Go and Elixir writers), `checks` (what must hold between settings).
It must not import a driver or an event loop: the supervisor lives by it.
"""

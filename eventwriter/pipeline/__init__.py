"""
The pipeline of one worker: pull → decode → rows → batch → copy → ack. Start with `pipeline.py`.

`decode` turns payloads into records, `batcher` encodes rows and seals batches, `copy_stage`
writes batches (`splitter` and `retry` help it with errors), `quarantine` finds messages that
kill the worker. The stages do not know each other; `pipeline.py` connects them.
"""

"""
The parent process: it starts one worker per slot, restarts failed ones, and answers operators.

`main` is the loop, `plan` decides, `workers` acts, `slot` holds the state of each worker,
`processes` makes the system calls, `verbs` answers requests. The parent forks, so it has no
threads, no event loop and no driver.
"""

"""
The parent process: it forks one worker per slot, watches them, restarts them, and answers operators.

`main` is the loop, `plan` every rule, `slot` what is known of each worker,
`processes` the system calls, `verbs` what an operator may ask. No thread, no
event loop and no driver lives here: a process that forks must have none.
"""

"""Imports that a worker does: the file is kept, a job says how far it is, and whoever finds the job goes on with it.

    jobs.py    created, asked after, cancelled, taken up again, forgotten
    run.py     what a worker does with one
    files.py   where the bodies wait

# Note [Import twice]
A job's message may be delivered twice, and its worker may be killed. So a worker holds an advisory lock while it works
on a job, which ends with its connection, and notes after each batch how many lines are done. A second delivery of a
running or finished job does nothing; a job that nobody works on any more is found by `import_jobs_abandoned` and goes
on after the last batch that was noted. Only a batch that was written and not noted is imported twice, which changes
nothing but the counts.
"""

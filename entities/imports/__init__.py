"""Imports that a worker does: the file is kept, a job says how far it is, and whoever finds the job goes on with it.

    jobs.py      created, started, asked after, cancelled, taken up again, forgotten
    run.py       what a worker does with one
    files.py     where the bodies wait
    formats.py   what a file is, and its rows as a stream of lines: NDJSON, CSV, Parquet
    mapping.py   how the columns of a CSV or Parquet file become entities: pure
    prepare.py   how the file of a job is understood: guessed, remembered, previewed
    report.py    the lines that were left out, as a file to mend
    uploads.py   files that a browser sends

# Note [Import twice]
A job's message may be delivered twice, and its worker may be killed. So a worker holds an advisory lock while it works
on a job, which ends with its connection, and notes after each batch how many lines are done. A second delivery of a
running or finished job does nothing; a job that nobody works on any more is found by `jobs_abandoned` and goes
on after the last batch that was noted. Only a batch that was written and not noted is imported twice, which changes
nothing but the counts.
"""

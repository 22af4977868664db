"""The embedded stack: the whole real thing on one machine, from wheels, without Docker and without root.

    services.py      what runs: one entry a service
    supervisor.py    starts them in parallel, restarts what crashes, stops everything
    control.py       the socket in the run directory over which `manage.py stack …` asks
    postgres.py, valkey.py, clickhouse/, django.py    how each one is prepared, started and probed
    rundir.py        the run directory: lock, secrets, ports, logs, data
    provision.py     roles and database, for our own cluster and for anybody else's

Imports nothing of Django: the supervisor must be up while Django is still loading.
"""

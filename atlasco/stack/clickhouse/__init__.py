"""ClickHouse's HTTP protocol in front of the chDB engine: one process owns the data, everybody else is a client.

    python -m atlasco.stack.clickhouse --path DIR --port N      the process
    engine.py       handles on the engine, sessions
    statements.py   what a request's bytes ask for
    server.py       HTTP
    service.py      the supervisor's view of it

Web and workers use the stock clickhouse-connect client and can't tell it from a clickhouse-server, except that it has
one user, no replication, and no external tables in a query.
"""

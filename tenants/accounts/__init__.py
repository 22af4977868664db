"""How people come in: what django-allauth, django-axes and Django's sessions are told about tenants.

Their tables are in each tenant's schema and in `public`, as users and sessions are, so an attempt, a second factor and
a session of one tenant are nothing in another; what they keep in the cache is kept apart by `cache_key`.
"""

"""What a Django project would take otherwise, on the same entities: django-eav2, and a plain JSONField with GIN.

They run in a process of their own, with their own settings and a schema of their own that is dropped afterwards: the
product does not install them.
"""

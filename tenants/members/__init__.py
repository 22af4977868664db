"""What is private to a tenant and small: users, API tokens, saved searches.

The same tables exist in each tenant's schema and once more in `public`, where the users are the platform's admins.
The bound tenant decides which are meant (`tenants.binding`).
"""

"""/api/v1/analytics/ and /api/v1/alerts/: doors that translate, make one call, and translate back."""

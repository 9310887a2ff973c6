"""Staff pages of providers by topic; providers/admin.py puts them together."""

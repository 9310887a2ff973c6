"""The Helper for a provider's images: packages and recipes with nothing secret in them (SECURITY.md §1)."""

"""The OpenAPI document held against the server: random calls, its own examples, and other providers' ids."""

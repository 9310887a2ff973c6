"""A tiny app whose rows are work of both policies; real workers run it in test_jobs_killed.py."""

"""A provider's own pages, mounted at /provider/: for people who work there. What is done here, deeds do."""

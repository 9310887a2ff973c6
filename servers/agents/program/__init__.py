"""The agent that runs on a customer's server: standard library only, Python 3.6 to 3.13.

`build.py` makes one zipapp of it, in which this package is called `muster_agent`; hence relative imports only.
"""

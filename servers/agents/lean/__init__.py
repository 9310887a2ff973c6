"""The hot path of agents: check-in, output and leave, as a raw ASGI application in front of Django.

A request costs its signature, one look at the order of its sequence (shared with all requests of the same moment), and
a place in a buffer that is written about once a second. What may not be lost is in the database before the answer. An
agent that waits for work costs memory only: no thread, no connection to anything.
"""

"""What agents tell the wings beside them."""

from django.dispatch import Signal

# sender=Agent, agent=…: the first heartbeat of a freshly enrolled agent, in the transaction that wrote it.
first_heartbeat = Signal()

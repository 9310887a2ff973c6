"""What servers tell the wings of this app."""

from django.dispatch import Signal

# sender=Server, account=…, ids=[…]: these servers are gone, in the transaction that wrote it.
servers_gone = Signal()

"""What the providers app tells the apps above it (DESIGN.md, "Floors and wings")."""

from django.dispatch import Signal

# sender=Customer, customer=…: sent inside the deed's transaction. Receivers write rows or ring.
customer_closing = Signal()
customer_suspended = Signal()
customer_resumed = Signal()

# sender=Provider, provider=the sandbox, customers=[ids]: before their rows go. Receivers delete what hangs on them by
# no foreign key that cascades, and return how many of which: {label: count}, as QuerySet.delete tells it.
sandbox_resetting = Signal()

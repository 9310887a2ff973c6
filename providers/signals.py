"""What the providers app tells the apps above it (DESIGN.md, "Floors and wings")."""

from django.dispatch import Signal

# sender=Customer, customer=…: sent inside the deed's transaction. Receivers write rows or ring.
customer_closing = Signal()
customer_suspended = Signal()
customer_resumed = Signal()

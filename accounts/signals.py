"""What the accounts app tells the apps above it (DESIGN.md, "Floors and wings")."""

from django.dispatch import Signal

# sender=CloudAccount, account=…: inside the deed's transaction.
account_removed = Signal()

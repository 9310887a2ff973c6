"""What the job core tells its users."""

from django.dispatch import Signal

# sender=the row's model, pk=the row's: it ended (done, failed, canceled, expired or interrupted), however it did.
# Sent inside the transaction that ended it; a receiver writes rows or rings, and goes nowhere else.
ended = Signal()

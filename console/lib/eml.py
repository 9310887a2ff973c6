"""Mails of the embedded mode: kept as .eml files in `MUSTER_HOME/mail/`, for a trial without a mail server."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from email.message import Message
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone


class FolderBackend(BaseEmailBackend):
    """Writes each message to a file whose name sorts by time. Files are readable by their owner only."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        folder: Path = settings.MAIL_FOLDER or settings.MUSTER_HOME / "mail"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for message in email_messages:
            made: Message = message.message()
            path = folder / f"{timezone.now():%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.eml"
            aside = path.with_suffix(".new")  # whoever looks finds a whole mail, or none
            aside.touch(mode=0o600)
            aside.write_bytes(made.as_bytes())
            aside.replace(path)
        return len(email_messages)

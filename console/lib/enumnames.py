"""What the OpenAPI document calls the sets of words that fields choose from; each set is named once."""

from __future__ import annotations

from typing import Any, Final

ENUM_NAMES: Final[dict[str, Any]] = {
    "JobState": "console.lib.jobs.rows.JobState.choices",
    "PushOutcome": ["pending", "passed", "refused", "replaced"],
    "ImportLineOutcome": ["waiting", "created", "updated", "unchanged", "refused"],
    "MailTemplateKind": [("welcome", "Welcome"), ("invitation", "Invitation")],
    "ServerState": [
        (word, word.title()) for word in ("running", "stopped", "suspended", "changing", "failed", "unknown")
    ],
    "DeliveryState": "providers.api.told.STATES",
    "EventTypes": "providers.api.told.TYPES",
    "MailState": ["queued", "sent", "delivered", "bounced", "failed"],
    "CustomerStatus": [("active", "Active"), ("suspended", "Suspended"), ("closed", "Closed")],
    "AccountStatus": [
        ("pending", "Pending"),
        ("ok", "OK"),
        ("bad_credentials", "Credentials refused"),
        ("unreachable", "Unreachable"),
        ("refused", "Refused by the cloud"),
        ("error", "Answered rubbish"),
    ],
}

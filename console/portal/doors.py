"""The doors people come in by: allauth's adapter, and what a sign-in may see."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up by themselves: providers and staff make customers."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

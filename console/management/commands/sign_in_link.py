"""manage.py sign_in_link EMAIL: a single-use URL that signs the person in, printed as the last line."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction
from django.db.models.functions import Lower

from console.lib import audit
from console.models import User
from providers import links


class Command(BaseCommand):
    help = "Print a single-use link, good for an hour, that signs a person in. --staff makes the person staff first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="the address that the person signs in with")
        parser.add_argument("--staff", action="store_true", help="make the person (if need be), and make them staff")

    def handle(self, *args: Any, **options: Any) -> None:
        email = options["email"].strip().lower()
        try:
            validate_email(email)
        except ValidationError as fault:
            raise CommandError(f"{email} is no e-mail address.") from fault
        with transaction.atomic():
            person: User | None = User.objects.alias(address=Lower("email")).filter(address=email).first()
            if options["staff"]:
                person = self._staff(person, email)
            if person is None:
                raise CommandError(f"Nobody signs in as {email}. Add --staff to make a member of staff of it.")
            if not person.is_active:
                raise CommandError(f"{email} is turned off. Turn the person on in the admin first.")
            token = links.issue(person, links.Purpose.SIGN_IN)
            audit.note(audit.SYSTEM, "person.sign_in_link", target=person)
        url = links.address(links.Purpose.SIGN_IN, token)
        self.stdout.write(f"{url}?next=/admin/" if options["staff"] else url)

    def _staff(self, person: User | None, email: str) -> User:
        if person is None:
            person = User.objects.create_superuser(email)
        elif not (person.is_staff and person.is_superuser):
            person.is_staff = person.is_superuser = True
            person.save(update_fields=["is_staff", "is_superuser"])
        else:
            return person
        audit.note(audit.SYSTEM, "person.made_staff", target=person)
        return person

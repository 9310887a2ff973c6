"""The project: settings, floors that span apps, and the process tree."""

from console.celery import app as celery_app

__all__ = ["celery_app"]

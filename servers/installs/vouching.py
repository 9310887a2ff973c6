"""A cloud vouches for its servers' host keys: their console logs, asked for once each. No database here."""

from __future__ import annotations

import threading

import structlog

from accounts.clouds import Driver
from console.lib.faults import Fault, Refused
from servers.installs import hostkeys

log = structlog.get_logger(__name__)
LINES = 2000  # cloud-init prints the keys late in a boot that prints a thousand lines


class Voucher:
    """The consoles of one account's servers, by its driver; without one it knows of none. May be asked by many
    threads, which the driver may not, so they take turns."""

    def __init__(self, driver: Driver | None) -> None:
        self._driver = driver
        self._turn = threading.Lock()

    def printed(self, external_id: str) -> frozenset[str]:
        """The host key fingerprints in this server's console log; none when the cloud has no log or does not answer.

        A cloud that could not be reached or signed in to is not asked again for the next server.
        """
        with self._turn:
            if self._driver is None:
                return frozenset()
            try:
                text = self._driver.console_text(external_id, LINES)
            except Refused as fault:  # this server has no console; the next one may
                log.info("no console log", server=external_id, reason=fault.words)
                return frozenset()
            except Fault as fault:
                self._driver = None
                log.info("consoles cannot be read", reason=fault.words)
                return frozenset()
        return hostkeys.printed(text)

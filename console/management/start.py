"""The order in which the parts start, until `/readyz` is green."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from console.lib import children, embedded, logfiles, pgdata, staticset
from console.lib.tree import Broken, Task, Tree
from console.management.outside import Refused, broker_lets_us_in, database_lets_us_in, listen, unready
from console.management.parts import QUEUES, Parts

LEFTOVERS_WAIT = 5.0  # seconds for what a killed `up` left to end by itself
ENGINE_WITHIN = 60.0
DEMO_WITHIN = 60.0
SAY_WHY_AFTER = 20.0  # seconds without readiness
NOT_FOR_BROWSERS = ("*.py", "package*.json", "icons.txt")  # how static/vendor is made
MIGRATE = ("migrate", "--no-input", "-v", "0")
COLLECT = (
    *("collectstatic", "--no-input", "--clear", "-v", "0"),
    *(part for name in NOT_FOR_BROWSERS for part in ("-i", name)),
)


class Start:
    """One start of a home."""

    def __init__(self, tree: Tree, tell: Callable[[str], None]) -> None:
        self.tree, self.tell = tree, tell
        self.home: Path = settings.MUSTER_HOME
        self.parts = Parts(self.home, settings.BASE_DIR)
        self._bell = 0.0

    def all(self) -> bool:
        """Start every part. True once `/readyz` is green; False when somebody asked to stop before."""
        if left := children.end_marked(self.home, LEFTOVERS_WAIT):
            self.tell(f"{len(left)} processes of an earlier start had to end first.")
        logfiles.cut(self.home)
        door, web = listen(settings.PORT), self._web_processes()
        self._engine()
        if settings.DEMO and not self.tree.asked:
            self.tree.add(self.parts.demo())
        self._prepare()
        for number in range(web):
            if not self.tree.asked:
                self.tree.add(self.parts.web("web" if number == 0 else f"web-{number + 1}", door))
        for part in (*map(self.parts.worker, QUEUES), self.parts.beat()):
            if not self.tree.asked:
                self.tree.add(part)
        if settings.SANDBOX and not self.tree.asked:
            self.tree.add(self.parts.sandbox())
        if settings.DEMO:
            self._demo()
        return self._ready()

    def _engine(self) -> None:
        """A word with the external servers first, then the embedded ones."""
        eng = settings.EMBEDDED
        own_database = eng is not None and eng.database_url == settings.DATABASE_URL
        own_broker = eng is not None and eng.redis_url == settings.REDIS_URL
        if not own_database:
            database_lets_us_in(settings.DATABASE_URL)
        if not own_broker:
            broker_lets_us_in(settings.REDIS_URL)
        if eng is not None:
            pgdata.end_leftovers(pgdata.folder(self.home))
            eng = embedded.settle_ports(eng)
            if own_database:
                self.tell("PostgreSQL and Valkey start." if own_broker else "PostgreSQL starts.")
                self.tree.add(self.parts.postgres(eng))
            if own_broker:
                self.tree.add(self.parts.valkey(eng))
            if own_database and not self.tree.until(lambda: embedded.postgres_answers(eng), ENGINE_WITHIN):
                self._gave_up("PostgreSQL", "postgres")
            if own_broker and not self.tree.until(lambda: embedded.answers(eng.valkey_port), ENGINE_WITHIN):
                self._gave_up("Valkey", "valkey")
            if own_database and not self.tree.asked:
                embedded.ensure_database(eng)
                where = pgdata.folder(self.home)
                if where.parent != self.home:
                    self.tell(f"PostgreSQL runs as nobody, who may not enter {self.home}: its data is in {where}.")

    def _gave_up(self, who: str, name: str) -> None:
        if not self.tree.asked:
            raise Broken(f"{who} did not answer within {ENGINE_WITHIN:.0f} s. {self.parts.said(name)}")

    def _prepare(self) -> None:
        """Tables and static files, at the same time."""
        if self.tree.asked:
            return
        self.tell("The database is brought up to date.")
        now = staticset.fingerprint()
        root = Path(settings.STATIC_ROOT)
        tasks = [self._task("migrate", *MIGRATE)]
        if staticset.collected(root) != now:
            tasks.append(self._task("collectstatic", *COLLECT))
        self.tree.finish(*tasks)
        if not self.tree.asked:
            staticset.note(root, now)

    def _task(self, name: str, *argv: str) -> Task:
        return Task(f"manage.py {name}", self.parts.manage(name, *argv), lambda: self.parts.said(name))

    def _web_processes(self) -> int:
        text = os.environ.get("WEB_PROCESSES", "").strip() or "1"
        if not text.isdigit() or not 1 <= int(text) <= 64:
            raise Refused(f"WEB_PROCESSES is {text!r}. Write a number from 1 to 64, such as WEB_PROCESSES=2.")
        return int(text)

    def _demo(self) -> None:
        """Seed it when it is new, or when the simulated cloud moved; then print how to get in."""
        site, seeded = self.home / "demo" / "site.json", self.home / "demo" / "seeded"

        def there() -> bool:
            return site.exists() and embedded.answers(urlsplit(json.loads(site.read_text())["url"]).port or 80)

        if not self.tree.until(there, DEMO_WITHIN):
            if not self.tree.asked:
                self.tell(f"The demo's cloud did not start. {self.parts.said('demo')}")
            return
        stamp = hashlib.sha256(site.read_bytes()).hexdigest()
        if not seeded.exists() or seeded.read_text() != stamp or not self._links():
            self.tell("The demo's customers and cloud accounts are made.")
            self.tree.finish(self._task("seed_demo", "seed_demo"))
            if not self.tree.asked:
                seeded.write_text(stamp)
                self._links()

    def _links(self) -> bool:
        """Print the demo's sign-in links. False when the demo's rows are not in this database."""
        with tempfile.TemporaryFile() as out:  # not a log: the links are secrets
            process = self.parts.python("demo_links", "manage.py", "demo_links", out=out)
            try:
                self.tree.finish(Task("Making sign-in links", process, lambda: ""))
            except Broken:
                return False
            out.seek(0)
            if not self.tree.asked:
                self.tell(out.read().decode().rstrip())
        return True

    def _ready(self) -> bool:
        patience = time.monotonic() + SAY_WHY_AFTER

        def green() -> bool:
            nonlocal patience
            if time.monotonic() < self._bell:
                return False
            self._bell = time.monotonic() + 0.25
            reasons = unready(settings.PORT, urlsplit(settings.PUBLIC_URL).hostname or "127.0.0.1")
            if reasons and time.monotonic() > patience:
                patience = time.monotonic() + SAY_WHY_AFTER
                self.tell(f"Not ready yet: {reasons}")
            return not reasons

        return self.tree.until(green, float("inf"))

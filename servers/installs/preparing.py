"""What a row's thread needs, so that it needs no database: whom to reach and how, as whom, with what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import structlog
from django.conf import settings
from django.utils import timezone

from accounts import opening
from accounts.models import CloudAccount
from console.lib.denials import Denied
from console.lib.faults import Fault
from console.lib.jobs.leases import Lease
from console.lib.jobs.rows import JobState
from console.lib.outbound import Transport
from console.lib.seal import SealBroken
from servers.agents import enrol
from servers.agents.program import build
from servers.installs import heartbeat, install, keys, trusting
from servers.installs.hands import Errand, Job, Order
from servers.installs.hostkeys import HostKey as Presented
from servers.installs.jump import Jump
from servers.installs.models import HostKey, Install, InstallBatch
from servers.installs.signin import Login
from servers.installs.terms import Dial, Limits, Target
from servers.installs.vouching import Voucher
from servers.models import Server

log = structlog.get_logger(__name__)
REMOVED = "This server's account was removed."
BROKE = "Something broke on our side. Staff can see what in the log."


class Ground:
    """What the rows of one batch share in this process: login, agent, the clouds' consoles, the jump host."""

    def __init__(self, batch: InstallBatch, limits: Limits) -> None:
        self.batch, self.limits = batch, limits
        self.vouchers: dict[Any, Voucher] = {}
        self.jumps: dict[Any, Jump] = {}
        self.transports: dict[Any, Transport] = {}
        self._heard: set[Any] = set()
        self._tokens: dict[Any, str] = {}
        self._no_tokens: Denied | None = None
        self._keys: dict[Any, dict[str, str]] = {}
        self.order: Order | None = None
        self.jump_login: Login | None = None
        self.shut = install.GONE
        self._told: set[Presented] = set()
        self._known: set[str] = set()  # fingerprints of the jump host
        try:
            if credentials := batch.credentials():
                self.order = self._ordered(credentials)
                self.jump_login = self._jump_login(credentials)
        except (SealBroken, keys.KeyRefused):
            log.exception("SSH credentials do not open", batch=str(batch.pk))
            self.order, self.shut = None, "The SSH credentials of this install cannot be opened any more."

    def close(self) -> None:
        for jump in self.jumps.values():
            jump.close()

    def _ordered(self, credentials: dict[str, str]) -> Order:
        key = credentials.get("private_key")
        artifact = build.artifact()
        return Order(
            login=Login(
                self.batch.ssh_user,
                keys.load(key, credentials.get("passphrase")) if key else None,
                credentials.get("password"),
                credentials.get("sudo_password"),
                self.batch.use_sudo,
            ),
            url=settings.PUBLIC_URL,
            agent=artifact.path.read_bytes(),
            sha256=artifact.sha256,
            trust=self.batch.trust_new_host_keys,
            limits=self.limits,
        )

    def _jump_login(self, credentials: dict[str, str]) -> Login:
        """The jump host's own credentials, or else those of the servers."""
        own = {name.removeprefix("jump_"): value for name, value in credentials.items() if name.startswith("jump_")}
        given = own or credentials
        key = given.get("private_key")
        loaded = keys.load(key, given.get("passphrase")) if key else None
        return Login(self.batch.jump_user or self.batch.ssh_user, loaded, given.get("password"))

    def gather(self, rows: Collection[Install]) -> None:
        """Read what `prepare` wants to know about these rows, once for all of them."""
        servers = Server.objects.filter(pk__in=[row.server_id for row in rows])
        found = servers.select_related("account__endpoint", "account__customer__provider", "customer").in_bulk()
        for row in rows:
            row.server = found.get(row.server_id) or row.server  # one that was deleted a moment ago takes its row along
            if row.server.address != row.address:  # it moved since it was asked for
                row.address = row.server.address or row.address
                row.save(update_fields=["address"])
        self._heard = heartbeat.heard_of(rows)
        self._keys = defaultdict(dict)
        keys = HostKey.objects.filter(server__in=found)
        for server, fingerprint, kind in keys.values_list("server_id", "fingerprint", "key_type"):
            self._keys[server][fingerprint] = kind

        self._issue(rows)

    def _issue(self, rows: Collection[Install]) -> None:
        """A join token for each that is to be installed on, all in one transaction."""
        if self.order is None:
            return
        wanted = [row for row in rows if not self._is_seen_to(row) and self._errand(row) is Errand.INSTALL]
        try:
            self._tokens |= enrol.issue_many([row.server for row in wanted], by=self.batch.by)
            self._no_tokens = None
        except Denied as denied:
            self._no_tokens = denied

    def _is_seen_to(self, row: Install) -> bool:
        return row.stage == Install.Stage.FIRST_HEARTBEAT or row.pk in self._heard

    def _errand(self, row: Install) -> Errand:
        return Errand.COLLECT if row.detached_at else Errand.LOOK if self.batch.held else Errand.INSTALL

    def _token(self, server: Server) -> str:
        if token := self._tokens.pop(server.pk, ""):
            return token
        raise self._no_tokens or Denied(REMOVED, "account_removed")

    def prepare(self, row: Install, lease: Lease) -> Job | None:
        """What the row's thread needs, after `gather`; None when the row needs no thread any more."""
        if row.stage == Install.Stage.FIRST_HEARTBEAT:
            heartbeat.look_again(row, lease)
            return None
        if row.pk in self._heard:
            row.stages = row.stages or [{"stage": row.stage, "started_at": timezone.now().isoformat()}]
            heartbeat.finish(row, lease)
            return None
        if self.order is None:
            lease.end(JobState.FAILED, self.shut, cause=self.shut, fix="Start the install again.")
            return None
        try:
            return self._job(row, lease, self.order)
        except Denied as denied:
            lease.end(JobState.FAILED, denied.words, cause=denied.words, fix="Start the install again.")
        except SealBroken:
            log.exception("cloud credentials do not open", account=str(row.server.account_id))
            lease.end(JobState.FAILED, BROKE, cause=BROKE, fix="Try again.")
        return None

    def _job(self, row: Install, lease: Lease, order: Order) -> Job:
        server = row.server
        account: CloudAccount = server.account
        known = self._keys.get(server.pk, {})
        errand = self._errand(row)
        voucher = None
        if known or not self.batch.trust_new_host_keys:
            voucher = self.vouchers.get(account.pk) or self._vouch(account)
        return Job(
            order=order,
            row=row,
            lease=lease,
            target=Target(server.address or row.address, self.batch.port, frozenset(known), tuple(known.values())),
            token=self._token(server) if errand is Errand.INSTALL else "",
            errand=errand,
            dial=self._dial(account),
            voucher=voucher,
            external_id=server.external_id,
            stages=list(row.stages) if errand is Errand.COLLECT else [],
        )

    def _dial(self, account: CloudAccount) -> Dial:
        """To the server, or to the jump host, by what staff approved for this account's endpoint."""
        if account.endpoint_id not in self.transports:
            self.transports[account.endpoint_id] = opening.transport(account.endpoint)
        direct = self.transports[account.endpoint_id].dial
        if not self.batch.jump_host or self.jump_login is None:
            return direct
        jump = self.jumps.get(account.endpoint_id)
        if jump is None or jump.asks:
            known = trusting.known_of_jump(self.batch)
            self._known |= set(known)
            target = Target(self.batch.jump_host, self.batch.jump_port, frozenset(known), tuple(known.values()))
            jump = Jump(target, self.jump_login, direct, lambda key: self.batch.trust_new_host_keys, self.limits)
            self.jumps[account.endpoint_id] = jump
        return jump.dial

    def _vouch(self, account: CloudAccount) -> Voucher:
        driver = None
        try:
            driver = opening.driver(account, account.credentials())
        except Fault as fault:
            log.info("consoles cannot be read", account=str(account.pk), reason=fault.words)
        voucher = self.vouchers[account.pk] = Voucher(driver)
        return voucher

    def new_jump_keys(self) -> list[Presented]:
        """The host keys that were taken on trust on the way, each told once."""
        shown = {jump.host_key for jump in self.jumps.values() if jump.host_key} - self._told
        self._told |= shown
        return [key for key in shown if key.fingerprint not in self._known]

"""What can be done to which server at the moment, and the sentence why not: pages, API and deed all ask here."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from accounts import ready
from accounts.clouds import State
from accounts.clouds.operations import Capabilities, Operation
from servers.actions.kinds import CREATE, KINDS, PATIENCE, Kind
from servers.actions.models import Action
from servers.models import Server

GONE = "This server is gone."
MISSING = "Its cloud no longer lists this server."
SUSPENDED = ready.SUSPENDED
RESIZED = "It was resized, and waits for that to be confirmed or reverted first."
RESUME = "Resume it first."
CHANGING = "The server is changing at the moment. Wait until that has ended."
_WAYS_OUT = ("start", "reboot", "reset", "revert_snapshot", "delete")  # of a failed server, where its cloud takes them


def refusals(servers: Collection[Server], kind: Kind) -> dict[Any, str]:
    """Where this cannot be done at the moment: server id → why. Servers come with account, endpoint and customer."""
    busy = under_way(servers)
    said = {server.pk: refusal(server, kind, busy.get(server.pk)) for server in servers}
    return {pk: words for pk, words in said.items() if words}


def under_way(servers: Collection[Server]) -> dict[Any, Action]:
    """The action that holds each of these servers, where there is one."""
    active = Action.objects.active().filter(server__in=[server.pk for server in servers])
    return {action.server_id: action for action in active.select_related("batch__by")}


def refusal(server: Server, kind: Kind, busy: Action | None = None) -> str:
    """Why this cannot be done to this server at the moment; "" when it can be asked of its cloud."""
    if words := ready.refusal(server.account, owner=server.customer):
        return words
    if server.gone_at is not None:
        return GONE
    if server.missing_since is not None:
        return MISSING
    if busy is not None and not gives_way(busy, kind):
        return _busy(busy)
    table = ready.table(server.account)
    if table is None:
        return ""  # nobody signed in yet to see what it can do: the driver will say
    able = table[kind.operation]
    state = State(server.state)
    words = able.refusal(state)
    if words and able.allowed and state == State.CHANGING:
        return RESIZED if server.raw_state.upper() == "VERIFY_RESIZE" else CHANGING
    if words and state == State.SUSPENDED and State.RUNNING in able.states:
        # "Start it first." is right of a stopped one; this one comes to run by another button.
        return words if table[Operation.RESUME].refusal(state) else RESUME
    if words and able.allowed and state == State.FAILED:
        return _failed(server, table)
    if words and able.allowed and state == State.UNKNOWN:
        # What it is doing nobody here knows, so its cloud decides; but not over what nobody can bring back.
        return _unknown(server) if kind.danger else ""
    return words


def gives_way(busy: Action, kind: Kind) -> bool:
    """Whether an action under way is given up for this one: a server that hangs while it is made can be deleted."""
    return busy.kind == CREATE.name and kind.operation == Operation.DELETE


def _failed(server: Server, table: Capabilities) -> str:
    """What "Start it first." and its like would be untrue of: no button brings it there."""
    ways = [KINDS[name].label for name in _WAYS_OUT if not table[KINDS[name].operation].refusal(State.FAILED)]
    return f"Its cloud says {server.raw_state or 'that it failed'}; what it takes then is: {', '.join(ways)}."


def _unknown(server: Server) -> str:
    return f"Its cloud says {server.raw_state or 'nothing of its state'}; wait until it says whether the server runs."


def _busy(action: Action) -> str:
    by = f", asked for by {action.batch.by}" if action.batch.by else ""
    words = f"Another action is under way on this server: {action.does.label.lower()}{by}. Wait until it has ended."
    if action.kind != CREATE.name:
        return words
    hours = f"{PATIENCE.total_seconds() / 3600:.0f}"
    return f"{words} A cloud that does not finish it is waited for {hours} hours at most; Delete gives it up."


def offered(server: Server) -> list[tuple[Kind, str]]:
    """Every kind with why it cannot be done to this server ("" when it can)."""
    busy = under_way([server]).get(server.pk)
    return [(kind, refusal(server, kind, busy)) for kind in KINDS.values()]

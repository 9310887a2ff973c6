"""Which action a server's state allows, in Nova's words, and what an action leaves behind when it is over."""

from __future__ import annotations

from console.demo.instance import Instance, Move


def refusal(generation: str, instance: Instance, move: Move, word: str) -> str:
    """Why that generation refuses this action now; "" when it does not."""
    if generation == "diablo":
        return _diablo(instance, word)
    if generation == "essex":
        wrong = instance.vm_state not in move.allowed or instance.task_state
        return f"Instance is in an invalid state for '{word}'" if wrong else ""
    short = word.removeprefix("os-")
    if instance.locked and word not in ("lock", "unlock"):
        return f"Instance {instance.id} is locked"
    if instance.vm_state == "building" and word in ("os-start", "os-stop"):
        return f"Instance {instance.id} is not ready"
    if instance.vm_state not in move.allowed:
        return f"Cannot '{short}' instance {instance.id} while it is in vm_state {instance.vm_state}"
    if instance.task_state:
        return f"Cannot '{short}' instance {instance.id} while it is in task_state {instance.task_state}"
    return ""


def _diablo(instance: Instance, word: str) -> str:
    """Diablo looks at the state for these three only."""
    if word == "rebuild" and instance.vm_state != "active":
        return f"Instance {instance.number} must be active to rebuild."
    if word in ("confirmResize", "revertResize") and instance.vm_state != "resized":
        return "The server could not comply with the request since it is either malformed or otherwise incorrect."
    return ""


def leave(instance: Instance, word: str, to: str) -> None:
    """What an action changes when it begins."""
    if word in ("lock", "unlock"):
        instance.locked = word == "lock"
    elif word == "resize":
        instance.resize = (instance.flavor, instance.status, to or instance.flavor)
    elif word == "rebuild" and to:
        instance.image = to


def goal(instance: Instance, word: str, ends: str) -> str:
    """The status in which the action ends: a server that was off before its resize is off after it."""
    if word in ("confirmResize", "revertResize") and instance.resize:
        before = instance.resize[1]
        if word == "confirmResize":
            instance.resize = None
        return before
    return ends


def arrive(instance: Instance, status: str) -> None:
    """What an action changes when it is over and leaves that status."""
    if instance.resize is None:
        return
    old, _, new = instance.resize
    if status == "VERIFY_RESIZE":
        instance.flavor = new
    elif instance.task_state == "resize_reverting":
        instance.flavor, instance.resize = old, None

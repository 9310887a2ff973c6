"""What the commands found, for a person who reads it on a terminal."""

import time
from typing import Any, Dict, List


def words_of(command: str, said: Dict[str, Any]) -> str:
    """The lines of it, with a line feed at the end."""
    if "cause" in said:
        lines = [said["cause"], said["fix"]]
    elif command == "status":
        lines = status(said)
    elif command == "doctor":
        lines = doctor(said)
    else:
        lines = leave(said)
    return "".join(line + "\n" for line in lines if line)


def status(said: Dict[str, Any]) -> List[str]:
    first = "The agent reports." if said["reporting"] else "The agent does not report."
    if not said["running"]:
        first = "The agent does not run."
    lines = [first, "Version {}, {}.".format(said["version"], said["mode"])]
    if said["agent_id"]:
        lines.append("Agent id: {}".format(said["agent_id"]))
    if said["last_heartbeat"]:
        lines.append("Last heard by the console: {}".format(moment(said["last_heartbeat"])))
    if said["trouble"]:
        lines.append(said["trouble"])
    if not said["ok"]:
        lines.append("To find out what hinders it: muster-agent doctor")
    return lines


def doctor(said: Dict[str, Any]) -> List[str]:
    lines = []
    for check in said["checks"]:
        lines.append("{:<9} {}".format(check["name"] + ":", check["found"]))
        if not check["ok"]:
            lines.append("          To do: {}".format(check["fix"]))
    lines.append("Nothing is wrong." if said["ok"] else "What is named above has to be put right.")
    return lines


def leave(said: Dict[str, Any]) -> List[str]:
    told = "The console knows that this server left."
    if not said["told"]:
        told = "The console could not be told ({}). Remove the agent there too.".format(said["why"])
    return ["The agent is uninstalled.", told] + ["Not ours, so it stays: {}".format(f) for f in said["left"]]


def moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))

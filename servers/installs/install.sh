#!/bin/sh
# Installs the Muster agent on this machine:  sh install.sh TOKEN   (or: sh install.sh -, and the token on standard input)
# Needs a shell, Python 3.6 or newer, and root or sudo. MUSTER_AGENT_PREFIX=DIR installs below DIR and needs no root.
# MUSTER_AGENT_WAIT=SECONDS is how long it waits for the agent's first report (30).
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "Not installed: $1" ; [ -z "${2:-}" ] || say "$2"; exit 1; }

find_python() {
    for python in python3 /usr/libexec/platform-python python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 \
        python3.8 python3.7 python3.6 python; do
        if command -v "$python" >/dev/null 2>&1 &&
            "$python" -c 'import sys; sys.exit(sys.version_info < (3, 6))' >/dev/null 2>&1; then
            return 0
        fi
    done
    die "this machine has no Python 3.6 or newer." \
        "Install it (Debian, Ubuntu: apt install python3; CentOS, RHEL: yum install python3; Alpine: apk add python3)."
}

fetch() { # URL FILE: by the first of curl, wget and Python that can
    if command -v curl >/dev/null 2>&1 && curl -fsS --connect-timeout 15 --max-time 120 -o "$2" "$1"; then return 0; fi
    if command -v wget >/dev/null 2>&1 && wget -q -T 60 -t 2 -O "$2" "$1"; then return 0; fi
    "$python" -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as answer, open(sys.argv[2], "wb") as file:
    shutil.copyfileobj(answer, file)' "$1" "$2"
}

checksum() {
    "$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
}

as_root() { # the token comes on standard input, where no other user of this machine can read it
    if [ -n "${MUSTER_AGENT_PREFIX:-}" ] || [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo -- "$@"
    else
        die "you are not root, and this machine has no sudo." "Run the command as root."
    fi
}

main() {
    console=@URL@
    sha256=@SHA256@
    token=${1:-}
    if [ "$token" = - ]; then IFS= read -r token || :; fi
    [ -n "$token" ] || die "the join token is missing." "Copy the whole command from the console."
    find_python
    umask 077
    folder=$(mktemp -d "${TMPDIR:-/tmp}/muster-XXXXXXXX") || die "no temporary folder can be made." "Free some space in /tmp."
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 1' HUP INT TERM
    agent=$folder/muster-agent.pyz
    fetch "$console/agent/v1/muster-agent.pyz" "$agent" ||
        die "the agent could not be fetched from $console." \
            "Check that this machine reaches that address: DNS, firewall, proxy (https_proxy), its clock and ca-certificates."
    [ "$(checksum "$agent")" = "$sha256" ] ||
        die "what was fetched is not the agent that the console gives out (its checksum differs)." \
            "Copy a new command from the console; if it happens again, look for a proxy that changes downloads."
    say "Installing the agent of $console ..."
    case $console in http:*) plain=--allow-http ;; *) plain= ;; esac
    # shellcheck disable=SC2086 # $plain is one word or none
    printf '%s\n' "$token" |
        as_root "$python" -E -s "$agent" install --url "$console" --token-file - --wait "${MUSTER_AGENT_WAIT:-30}" $plain >"$folder/said" || :
    "$python" -c 'import json, sys
try:
    said = json.loads(open(sys.argv[1]).read().strip().splitlines()[-1])
except (IndexError, ValueError):
    sys.exit("Not installed: the installer ended without a word. Look above for what sudo or the system said.")
if not said["ok"]:
    sys.exit("Not installed: %s %s" % (said["cause"], said["fix"]))
if said.get("reporting"):
    print("Installed, version %s. It reports." % said["version"])
else:
    print("Installed, version %s. It does not report yet: %s" % (said["version"], said.get("trouble") or "wait a moment."))
    sys.exit(2)' "$folder/said"
}

# The last line, so that a download which was cut off does nothing.
main "$@"

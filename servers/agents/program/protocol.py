"""What the agent and the console agree on: paths, fields, limits, version. The console imports this file too.

Signatures. Every POST below carries `Muster-Signature`, over the lines of `signed_text`. Before there is a session it
is base64url of Ed25519 by the agent's own key (the session, sequence and time lines are empty). In a session it is the
hex of HMAC-SHA256 under the session's key, and `Muster-Session`, `Muster-Sequence` (1, 2, 3 … of this session, never
one twice) and `Muster-Time` (seconds since 1970 by the console's clock, as told when the session began) go with it.
The path is the one named here, without what stands before it in the console's address. Binary values in JSON are
base64url without padding; a public key is its 32 bytes.

Claim, of a machine from a provider's image, which nobody knows yet: POST CLAIM_PATH `{version, public_key, channel,
platform, instance_id, dmi_uuid, macs, addresses, hostname, boot_id, at}` answers 202 `{retry}`, known or not. The
console then puts a nonce where only that instance can read it (`CHALLENGE`); the machine reads on and answers
POST PROOF_PATH `{public_key, instance_id, proof?}`, `proof` being Ed25519 over `proof_text`; without one it only asks
whether a person let it in. 202 `{retry}`, or 200 `{agent_id, keys}`: it is an agent now. `code` of its key is what it
shows on its console, and the customer sees beside the claim.

Enrolment with a join token: POST ENROL_PATH `{token, public_key, version, facts}` answers 200 `{agent_id, keys}`.
The same token with the same key gets the same answer again, so a lost reply costs a retry and not the token.

`keys`: `[{id, key}]`, the public keys whose work and releases the agent takes. It pins them; an image brings them.

Session: POST SESSION_PATH `{agent_id, epoch, version, instance_id, boot_id}` answers 200 `{session, key, time,
interval}`. `epoch` only grows: of one that is not above the last, 409 EPOCH_USED `{error, epoch}` tells the last.

Check-in: POST CHECKIN_PATH `{version, samples, facts?, work?, release?, wait?}` answers `{time, interval, work,
release?}`. What it brings is stored first; then the answer waits at most `wait` seconds for work to come. `samples` is
a list, oldest first; `facts` is sent first in a session, and when they changed; `work` is a list of `{id, state,
exit_code?, reason?, at}` with the states below, repeated until an answer came; `release` is
`{version, state, reason?}`, of the last update that was tried. The answer's `work` is a list of `{envelope, signature,
key_id, script}`; its `release` is `{manifest, signature, key_id}`. After a lost answer the same samples, results and
facts come again, under another sequence.

Output: POST OUTPUT_PATH `{work, stream, offset, data}` answers `{}`: a piece of what a script wrote.

Leave: POST LEAVE_PATH `{version}` in a session answers `{}`: a person on the machine takes the agent off, and it ends.

Release: GET RELEASE_PATH + SHA-256 in hex: the program's bytes. They hold no secret.

Refusals carry the console's one error shape. 401 UNKNOWN_TOKEN or UNKNOWN_AGENT: stop reporting (an agent from an
image claims anew). 410 REMOVED: uninstall. 401 UNKNOWN_SESSION, 409 REPLAYED, 401 WRONG_TIME: begin another session.
403 PROVE_AGAIN: this identity is used by two machines, or by another instance than it was given to; claim anew, with
a new key when the instance is another one. A refusal without these codes comes from something in between, and is only
retried.

`facts`: `{os: {id, name, version}, kernel, hostname, arch, cpus, cpu_model, memory_bytes, disks: [{mount, device,
filesystem, total_bytes}], nics: [{name, mac, addresses: ["10.0.0.5/24"]}], machine_id, instance_id, dmi_uuid, platform,
vendor, python, booted_at, packages, reboot_needed}`.
A sample: `{at, load1, load5, load15, cpu_percent, memory_used_bytes, memory_total_bytes, swap_used_bytes,
swap_total_bytes, uptime_seconds, disks: [{mount, used_bytes, total_bytes}], nics: [{name, rx_bytes_per_second,
tx_bytes_per_second}]}`. What cannot be read is null.

An envelope is the UTF-8 of a JSON object `{work, agent, tenant, kind, script_sha256, interpreter, arguments, run_as,
not_before, expires_at, timeout, sequence, key_id}`; its signature is Ed25519 over WORK_PURPOSE and those bytes.
`sequence` only grows for one agent. A manifest is the UTF-8 of `{version, sha256, size, minimum_python, created_at,
expires_at, key_id}`, signed over RELEASE_PURPOSE and those bytes.
"""

VERSION = "0.2.0"

CLAIM_PATH = "/agent/v1/claims"
PROOF_PATH = "/agent/v1/claims/proof"
ENROL_PATH = "/agent/v1/enrol"
SESSION_PATH = "/agent/v1/sessions"
CHECKIN_PATH = "/agent/v1/checkin"
OUTPUT_PATH = "/agent/v1/output"
LEAVE_PATH = "/agent/v1/leave"
RELEASE_PATH = "/agent/v1/releases/"

UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - the name of a refusal, not a secret
UNKNOWN_AGENT = "unknown_agent"
UNKNOWN_SESSION = "unknown_session"
EPOCH_USED = "epoch_used"
REPLAYED = "replayed"
WRONG_TIME = "wrong_time"
PROVE_AGAIN = "prove_again"
REMOVED = "agent_removed"

WORK_PURPOSE = b"muster-work-1\n"
RELEASE_PURPOSE = b"muster-release-1\n"

# States of work, as an agent tells them. A journal on the host makes "started" true at most once.
STARTED, DONE, FAILED, INTERRUPTED, REFUSED, EXPIRED = (
    "started", "done", "failed", "interrupted", "refused", "expired",
)  # fmt: skip

# Where a challenge's nonce stands, by platform: a server's metadata key, a line of user data, a guest property.
CHALLENGE = "muster-claim"
CHALLENGE_LINE = "# muster-claim: "
CHALLENGE_PROPERTY = "guestinfo.muster.claim"
# Root writes a line of this and its public key to the serial console, where the console reads it as a second proof.
CONSOLE_KEY = "muster-claim-key: "

MAX_BODY = 64 * 1024  # bytes, in both directions
MAX_TEXT = 128  # characters of any one string in facts and metrics
MAX_SECRET = 256  # characters of a token
MAX_DISKS = 32
MAX_NICS = 32
MAX_ADDRESSES = 16  # of one NIC
MAX_SAMPLES = 30  # in one check-in; an agent that was cut off keeps so many, the newest
MAX_RESULTS = 32  # of work, in one check-in
MAX_OUTPUT = 32 * 1024  # bytes of one piece of output
OUTPUT_HEAD = 1024 * 1024  # bytes kept of a stream's beginning
OUTPUT_TAIL = 256 * 1024  # and of its end
MAX_SCRIPT = 256 * 1024  # bytes; MAX_WORK of them in one answer
MAX_WORK = 4
MAX_ANSWER = 2 * 1024 * 1024  # bytes of an answer that brings work
CLOCK = 300  # seconds that Muster-Time may be off
WAIT_MIN, WAIT_MAX = 25, 50  # seconds: a long poll's length is drawn from between

INTERVAL = 60  # seconds between samples, unless the console says otherwise
INTERVAL_MIN = 1
INTERVAL_MAX = 3600
JITTER = 0.1  # a check-in comes up to this share of the interval early or late


def signed_text(method, path, body_sha256, session="", sequence="", time=""):
    # type: (str, str, str, str, str, str) -> bytes
    """What a request's signature is over; `body_sha256` in hex."""
    return "\n".join(("muster-request-1", method, path, body_sha256, session, sequence, time)).encode()


def proof_text(public_key, instance_id, nonce):
    # type: (str, str, str) -> bytes
    """What proves that the machine with this key could read the nonce that was put at this instance."""
    return "\n".join(("muster-proof-1", public_key, instance_id, nonce)).encode()


def code(public_key):
    # type: (bytes) -> str
    """The eight characters by which a person tells one claim from another: `ABCD-2345`, of the key's SHA-256."""
    import base64
    import hashlib

    text = base64.b32encode(hashlib.sha256(b"muster-code-1\n" + public_key).digest()).decode()[:8]
    return text[:4] + "-" + text[4:]

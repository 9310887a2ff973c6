"""What the agent and the console agree on: paths, fields, limits, version. The console imports this file too.

Enrolment: POST ENROL_PATH `{token, attempt, version, facts}` answers `{agent_id, agent_token, interval}`.
`attempt` is a random secret that the agent keeps beside the join token until it is enrolled: the same token with the
same attempt gets the same answer again, so a lost reply costs a retry and not the token.

Heartbeat: POST HEARTBEAT_PATH, `Authorization: Bearer agent_token`, `{version, metrics, facts?}` answers `{interval}`.
`facts` is sent with the first heartbeat of a process and then only when it changed.

Refusals carry the console's one error shape. 401 with UNKNOWN_TOKEN or UNKNOWN_AGENT: stop reporting.
410 with REMOVED: uninstall. A 401 or 410 without these codes comes from something in between, and is only retried.

`facts`: `{os: {id, name, version}, kernel, hostname, arch, cpus, memory_bytes, disks: [{mount, device, filesystem,
total_bytes}], nics: [{name, mac, addresses: ["10.0.0.5/24"]}], machine_id, instance_id, vendor, python, booted_at}`.
`metrics`: `{load1, load5, load15, cpu_percent, memory_used_bytes, memory_total_bytes, swap_used_bytes,
swap_total_bytes, uptime_seconds, disks: [{mount, used_bytes, total_bytes}]}`. What cannot be read is null.
"""

VERSION = "0.1.0"

ENROL_PATH = "/agent/v1/enrol"
HEARTBEAT_PATH = "/agent/v1/heartbeat"

UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - the name of a refusal, not a secret
UNKNOWN_AGENT = "unknown_agent"
REMOVED = "agent_removed"

MAX_BODY = 64 * 1024  # bytes, in both directions
MAX_TEXT = 128  # characters of any one string in facts and metrics
MAX_SECRET = 256  # characters of a token or attempt
MAX_DISKS = 32
MAX_NICS = 32
MAX_ADDRESSES = 16  # of one NIC

INTERVAL = 30  # seconds between heartbeats, unless the console says otherwise
INTERVAL_MIN = 1
INTERVAL_MAX = 3600
JITTER = 0.1  # a heartbeat comes up to this share of the interval early or late

"""A Keystone and Nova that answer from prepared bytes: the cost of a listing is then ours, not the simulator's.

Run as a process of its own (`python -m tests.bench.prepared COUNT [CHANGED_PERCENT]`); prints its port. The shapes are
the simulator's, which the captures hold to the truth. `POST /change/N` renames the first N servers.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE = 1000


def servers(count: int, renamed: int = 0) -> list[dict]:
    """`count` servers as Nova 2.1 lists them (captures/modern.txt)."""
    return [
        {
            "id": f"{number:08x}-0000-4000-8000-{number:012x}",
            "name": f"{'renamed' if number < renamed else 'web'}-{number:06d}",
            "status": "ACTIVE" if number % 7 else "SHUTOFF",
            "tenant_id": "87ede5e33d84454abbf7e9d93ae4fe1f",
            "user_id": "6674fd1db4264716b0a2980d5f2eb769",
            "metadata": {"role": "web", "owner": "orchard"},
            "hostId": "e6d1a2d4a4d6b8a2a7d1c7b8f9e0a1b2c3d4e5f60718293a4b5c6d7e",
            "image": {
                "id": "3a48bad1-f787-4557-ae26-658070a5c39e",
                "links": [{"rel": "bookmark", "href": "http://127.0.0.1/images/3a48bad1"}],
            },
            "flavor": {"id": str(number % 5 + 1), "links": [{"rel": "bookmark", "href": "http://127.0.0.1/flavors/1"}]},
            "created": "2026-11-22T17:12:30Z",
            "updated": "2026-11-22T17:12:43Z",
            "addresses": {
                "private": [
                    {
                        "version": 4,
                        "addr": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
                        "OS-EXT-IPS:type": "fixed",
                        "OS-EXT-IPS-MAC:mac_addr": f"fa:16:3e:{number >> 16 & 255:02x}:"
                        f"{number >> 8 & 255:02x}:{number & 255:02x}",
                    }
                ]
            },
            "accessIPv4": "",
            "accessIPv6": "",
            "links": [{"rel": "self", "href": f"http://127.0.0.1/v2.1/servers/{number}"}],
            "OS-DCF:diskConfig": "MANUAL",
            "progress": 0,
            "OS-EXT-AZ:availability_zone": "nova",
            "config_drive": "",
            "key_name": None,
            "OS-SRV-USG:launched_at": "2026-11-22T17:12:33.000000",
            "OS-SRV-USG:terminated_at": None,
            "OS-EXT-STS:task_state": None,
            "OS-EXT-STS:vm_state": "active",
            "OS-EXT-STS:power_state": 1,
            "os-extended-volumes:volumes_attached": [],
            "security_groups": [{"name": "default"}],
        }
        for number in range(count)
    ]


class Prepared(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    pages: dict[str, bytes] = {}

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def _send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:  # noqa: N802
        url = urlsplit(self.path)
        base = f"http://127.0.0.1:{self.server.server_address[1]}"
        if url.path.endswith("/servers/detail"):
            self._send(self.pages[parse_qs(url.query).get("marker", [""])[0]])
        elif url.path.endswith("/flavors/detail"):
            flavors = (
                []
                if "marker" in parse_qs(url.query)
                else [{"id": str(n), "name": f"m1.{n}", "vcpus": n, "ram": n * 1024, "disk": 20} for n in range(1, 6)]
            )
            self._send(json.dumps({"flavors": flavors, "images": []}).encode())
        elif url.path.rstrip("/").endswith("/v2.1"):
            self._send(
                json.dumps(
                    {
                        "version": {
                            "id": "v2.1",
                            "status": "CURRENT",
                            "version": "2.96",
                            "min_version": "2.1",
                            "links": [{"rel": "self", "href": f"{base}/v2.1/"}],
                        }
                    }
                ).encode()
            )
        elif "/images" in url.path or "/limits" in url.path:
            self._send(json.dumps({"images": [], "limits": {"rate": [], "absolute": {}}}).encode())
        else:
            v3 = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{base}/v3/"}]}
            body = {"version": v3} if url.path.startswith("/v3") else {"versions": {"values": [v3]}}
            self._send(json.dumps(body).encode(), 200 if url.path.startswith("/v3") else 300)

    def do_POST(self) -> None:  # noqa: N802
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/change/"):
            self.server.prepare(int(self.path.rsplit("/", 1)[1]))  # type: ignore[attr-defined]
            return self._send(b"{}")
        base = f"http://127.0.0.1:{self.server.server_address[1]}"
        catalog = [
            {
                "type": kind,
                "name": kind,
                "id": kind,
                "endpoints": [
                    {"id": kind, "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": url}
                ],
            }
            for kind, url in (("compute", f"{base}/v2.1"), ("identity", f"{base}/v3"))
        ]
        token = {
            "token": {
                "methods": ["password"],
                "expires_at": "2036-01-01T00:00:00.000000Z",
                "issued_at": "2026-11-22T00:00:00.000000Z",
                "catalog": catalog,
                "roles": [{"id": "m", "name": "member"}],
                "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}},
                "project": {"id": "p", "name": "p", "domain": {"id": "default", "name": "Default"}},
            }
        }
        return self._send(json.dumps(token).encode(), 201, X_Subject_Token="t" * 32)


class Site(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, count: int) -> None:
        super().__init__(("127.0.0.1", 0), Prepared)
        self.count = count
        self.prepare(0)

    def prepare(self, renamed: int) -> None:
        rows = servers(self.count, renamed)
        cuts = [rows[at : at + PAGE] for at in range(0, self.count, PAGE)]
        markers = ["", *(cut[-1]["id"] for cut in cuts)]
        pages = [json.dumps({"servers": cut}).encode() for cut in cuts] + [b'{"servers": []}']
        Prepared.pages = dict(zip(markers, pages, strict=True))


if __name__ == "__main__":
    site = Site(int(sys.argv[1]))
    sys.stdout.write(f"{site.server_address[1]}\n")
    sys.stdout.flush()
    site.serve_forever()

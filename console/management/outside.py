"""What stands outside the process tree: the port, an external database or broker, and our own `/readyz`."""

from __future__ import annotations

import http.client
import json
import socket


class Refused(RuntimeError):
    """Something outside stands in the way. The words say what to do."""


def listen(port: int) -> socket.socket:
    """The socket that every web process accepts from; it stays while they come and go. Refused when it is taken."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=2048)
    except OSError as fault:
        raise Refused(
            f"port {port} on 127.0.0.1 cannot be opened ({fault.strerror}). "
            f"Stop the program that uses it, or choose another one: PORT={port + 1 if port < 65535 else 8000} make run"
        ) from fault


def unready(port: int, host: str) -> str:
    """Why `/readyz` is not green; "" when it is."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        link.request("GET", "/readyz", headers={"Host": host})
        reply = link.getresponse()
        body = reply.read()
        return "" if reply.status == 200 else f"/readyz answers {reply.status}. {_reasons(body)}"
    except (OSError, http.client.HTTPException) as fault:
        return f"web does not answer yet ({fault})"
    finally:
        link.close()


def _reasons(body: bytes) -> str:
    try:
        return " ".join(json.loads(body)["reasons"])
    except (ValueError, KeyError, TypeError):
        return ""


def database_lets_us_in(url: str) -> None:
    """Refused, in PostgreSQL's own words, when it does not."""
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.Error as fault:
        raise Refused(f"PostgreSQL does not let us in: {' '.join(str(fault).split())} Check DATABASE_URL.") from fault


def broker_lets_us_in(url: str) -> None:
    """Refused, in the broker's own words, when it does not."""
    import redis

    try:
        redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5).ping()
    except (redis.RedisError, OSError) as fault:
        raise Refused(f"Valkey (or Redis) does not let us in: {fault}. Check REDIS_URL.") from fault

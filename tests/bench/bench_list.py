"""The first page of the server list over 100,000 servers, against a page of the same size over 100 servers."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tests.bench.results import Result, median

COUNT = int(os.environ.get("BENCH_LIST", "100000"))


def fill(account: object, count: int) -> None:
    """`count` servers of one account, by COPY."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO servers_server (id, customer_id, account_id, external_id, name, state, raw_state,
                 addresses, ips, size, image, region, key_name, digest, first_seen_at, changed_at)
               SELECT gen_random_uuid(), %s, %s, 'x-' || n, 'web-' || lpad(n::text, 6, '0'),
                 (ARRAY['running','running','stopped','failed'])[1 + n %% 4], 'ACTIVE',
                 json_build_array(json_build_object('ip', '10.0.' || n / 256 %% 256 || '.' || n %% 256, 'version', 4,
                   'kind', 'fixed', 'network', 'private', 'mac', ''))::jsonb,
                 ARRAY['10.0.' || n / 256 %% 256 || '.' || n %% 256], 'm1.small', 'debian-12', 'RegionOne', '', 'd',
                 now(), now()
               FROM generate_series(1, %s) AS n""",
            [account.customer_id, account.pk, count],  # type: ignore[attr-defined]
        )
        cursor.execute("ANALYZE servers_server")


def run() -> Iterator[Result]:
    """Whole requests through Django's stack: session, permission, query, facets, template."""
    from django.test import Client

    from tests.factories import AccountFactory, MembershipFactory

    def browser(count: int) -> Client:
        account = AccountFactory()
        fill(account, count)
        client = Client(HTTP_HOST="127.0.0.1")
        client.force_login(
            MembershipFactory(customer=account.customer).user, backend="django.contrib.auth.backends.ModelBackend"
        )
        return client

    def page(client: Client, url: str) -> float:
        def get() -> None:
            assert client.get(url).status_code == 200

        return median(get, runs=15, warm_up=3) * 1000

    small, large = browser(100), browser(COUNT)
    for name, url in (
        ("first page", "/servers/"),
        ("search 'web-0999'", "/servers/?q=web-0999"),
        ("state:failed", "/servers/?q=state:failed"),
    ):
        yield Result(
            f"list of {COUNT} servers, {name}",
            page(large, url),
            "ms",
            page(small, url),
            "baseline: the same page over 100 servers",
        )

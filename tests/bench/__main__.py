"""`make bench`: every `bench_*.py` here that has a `run()`, or those that the arguments name (`sync list`).

Prints a table, and appends one JSON object a line to `bench-results.jsonl` (PROMISES.md). The benchmarks get servers of
their own, as durable as real ones, and an empty database each.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tests.bench
from console.lib import embedded
from tests.bench.results import Result
from tests.processes import end

KEPT = Path("bench-results.jsonl")


def chosen(words: list[str]) -> list[str]:
    """Module names, in the order of the alphabet; SystemExit when a word names none."""
    known = sorted(
        found.name.removeprefix("bench_")
        for found in pkgutil.iter_modules(tests.bench.__path__)
        if found.name.startswith("bench_")
    )
    if strangers := set(words) - set(known):
        sys.exit(f"No benchmark is called {', '.join(sorted(strangers))}. There are: {', '.join(known)}.")
    return [f"tests.bench.bench_{name}" for name in known if not words or name in words]


@contextmanager
def ground() -> Iterator[None]:
    """PostgreSQL, Valkey and Django, as a test has them."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as name:
        Path(name).chmod(0o711)
        eng = embedded.engine(Path(name) / "home")
        running = [embedded.start_postgres(eng), embedded.start_valkey(eng)]
        try:
            embedded.ensure_database(eng)
            os.environ.update(
                DJANGO_SETTINGS_MODULE="console.settings",
                MUSTER_HOME=str(eng.home),
                DEMO="1",
                DATABASE_URL=eng.database_url,
                REDIS_URL=eng.redis_url,
                SECRET_KEY=eng.secret_key,
                SEAL_KEYS=eng.seal_keys,
                SIGN_KEYS=eng.sign_keys,
                LOG_LEVEL="ERROR",
            )
            _django()
            yield
        finally:
            for process in running:
                end(process, signal.SIGINT)


def _django() -> None:
    import django
    from django.core.management import call_command
    from django.test.utils import override_settings, setup_test_environment

    django.setup()
    from django.conf import settings

    setup_test_environment(debug=False)
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # none is collected
    override_settings(STORAGES={**settings.STORAGES, "staticfiles": plain}).enable()
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)
    call_command("migrate", interactive=False, verbosity=0)


def line(result: Result) -> str:
    """One row of the table."""
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}×"
    baseline = "" if result.baseline is None else f"{result.baseline:,.1f}"
    return f"{result.name:<44} {result.value:>12,.1f} {result.unit:<10} {baseline:>12} {ratio:>8}  {result.detail}"


def kept(result: Result) -> str:
    """One line of the file."""
    return (
        json.dumps(
            {
                "name": result.name,
                "value": result.value,
                "unit": result.unit,
                "baseline": result.baseline,
                "ratio": result.ratio,
                "detail": result.detail,
            }
        )
        + "\n"
    )


def main() -> int:
    """0 when every benchmark ran."""
    names, failed = chosen(sys.argv[1:]), 0
    with ground():
        from django.core.management import call_command

        sys.stdout.write(f"{'':<44} {'value':>12} {'unit':<10} {'baseline':>12} {'ratio':>8}\n")
        for name in names:
            try:
                for result in importlib.import_module(name).run():
                    sys.stdout.write(line(result) + "\n")
                    sys.stdout.flush()
                    with KEPT.open("a") as file:
                        file.write(kept(result))
            except Exception:  # noqa: BLE001  # the others still run; the exit code says that this one did not
                failed += 1
                sys.stderr.write(f"{name} failed:\n{traceback.format_exc()}")
            call_command("flush", interactive=False, verbosity=0)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""How this host is right now. Names and units stand in protocol.py; what cannot be read is None."""

import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import procfs


class Meter:
    """Measures. CPU load and the rates of NICs are means since the last reading; the first reading takes a fifth of a
    second for them."""

    def __init__(self, wait: Callable[[float], None] = time.sleep) -> None:
        self._wait = wait
        self._last: Optional[Reading] = None

    def read(self) -> Dict[str, Any]:
        if self._last is None:
            self._last = Reading()
            self._wait(0.2)
        before, now = self._last, Reading()
        self._last = now
        loads = procfs.loads(procfs.read("/proc/loadavg")) or (None, None, None)
        found: Dict[str, Any] = {"load1": loads[0], "load5": loads[1], "load15": loads[2]}
        found["cpu_percent"] = percent(before.cpu, now.cpu)
        found.update(memory(procfs.meminfo(procfs.read("/proc/meminfo"))))
        found["uptime_seconds"] = procfs.uptime(procfs.read("/proc/uptime"))
        found["disks"] = [
            {"mount": procfs.cut(d.mount.point), "used_bytes": d.used, "total_bytes": d.total} for d in procfs.disks()
        ]
        found["nics"] = rates(before, now)
        return found


class Reading:
    """Counters that only mean something beside another reading."""

    def __init__(self) -> None:
        self.moment = time.monotonic()
        self.cpu = procfs.cpu_times(procfs.read("/proc/stat"))
        self.nics = {name: procfs.traffic(name) for name in procfs.nics()}


def rates(before: Reading, now: Reading) -> List[Dict[str, Any]]:
    """Bytes a second of each NIC that there was both times; None where its counters stood still or began anew."""
    seconds = now.moment - before.moment
    found: List[Dict[str, Any]] = []
    for name, (received, sent) in now.nics.items():
        if name in before.nics:
            earlier = before.nics[name]
            found.append(
                {
                    "name": procfs.cut(name),
                    "rx_bytes_per_second": rate(earlier[0], received, seconds),
                    "tx_bytes_per_second": rate(earlier[1], sent, seconds),
                }
            )
    return found


def rate(before: Optional[int], now: Optional[int], seconds: float) -> Optional[float]:
    if before is None or now is None or now < before or seconds <= 0:
        return None
    return round((now - before) / seconds, 1)


def percent(before: Optional[Tuple[int, int]], now: Optional[Tuple[int, int]]) -> Optional[float]:
    """The busy share between two readings of (busy, total), 0 to 100; None when the counters stood or went back."""
    if before is None or now is None or now[1] <= before[1]:
        return None
    return round(min(100.0, max(0.0, 100.0 * (now[0] - before[0]) / (now[1] - before[1]))), 1)


def memory(found: Dict[str, int]) -> Dict[str, Optional[int]]:
    """Used is what is not available; kernels before 3.14 do not say available, so free and cached count."""
    total, swap = found.get("MemTotal"), found.get("SwapTotal")
    spare = found.get("MemAvailable", found.get("MemFree", 0) + found.get("Buffers", 0) + found.get("Cached", 0))
    return {
        "memory_total_bytes": total,
        "memory_used_bytes": max(0, total - spare) if total is not None else None,
        "swap_total_bytes": swap,
        "swap_used_bytes": max(0, swap - found.get("SwapFree", 0)) if swap is not None else None,
    }

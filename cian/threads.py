"""How many processors this process may use, and OpenMP set to use them all. Free of MXNet, so it can run before it."""
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cpu_quota(root=CGROUP):
    """Processors a container's quota allows (cgroup 2 or 1), rounded up; None where there is no quota."""
    try:
        if (root / "cpu.max").is_file():
            quota, period = (root / "cpu.max").read_text().split()[:2]
        else:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        quota, period = int(quota), int(period)  # "max" or -1: no quota
    except (OSError, ValueError):
        return None
    return max(1, -(-quota // period)) if quota > 0 and period > 0 else None


def count_processors():
    """Number of processors this process may use: its affinity mask and its container's quota, at least 1."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        count = os.cpu_count() or 1
    return max(1, min(count, cpu_quota() or count))


def use_all_processors(environment=os.environ):
    """Set OMP_NUM_THREADS to all processors unless the user has set it; MXNet alone would take half of them.

    OpenMP reads it when its library is loaded: call this before MXNet is imported.
    """
    environment.setdefault("OMP_NUM_THREADS", str(count_processors()))

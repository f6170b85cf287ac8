"""How much memory of this machine is free: in the system, in a container, under a limit of the process."""

from __future__ import annotations

from pathlib import Path

__all__ = ["free_memory_bytes"]


def free_memory_bytes() -> int | None:
    """Return how much memory this process may still take; None where the system does not say.

    Examples
    --------
    >>> free = free_memory_bytes()
    >>> free is None or free >= 0
    True
    """
    free = [number for number in (_in_system(), _in_container(), _under_limit()) if number is not None]
    return min(free) if free else None


def _in_system() -> int | None:
    """Return MemAvailable, which counts what the page cache can give back."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _in_container() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        return max(0, limit - int((folder / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no such file, or the limit is "max"
        return None


def _under_limit() -> int | None:
    """Return what ``ulimit -v`` leaves."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return None
        taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        return max(0, limit - taken)
    except (ImportError, OSError, ValueError, IndexError):
        return None

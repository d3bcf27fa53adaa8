"""What this machine is, and what follows from it; decided from processor flags, never by timing."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

import torch


@lru_cache
def cpu_flags() -> frozenset[str]:
    """The processor's feature flags (Linux), or an empty set where they cannot be read."""
    try:
        for line in (
            Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        ):
            if line.lower().startswith(("flags", "features")):
                return frozenset(line.split(":", 1)[1].split())
    except OSError:
        pass
    return frozenset()


def fast_bf16(device: str = "cpu") -> bool:
    """Whether bfloat16 arithmetic is native here: AVX512-BF16, AMX or Arm BF16 on a processor, any
    recent CUDA device.
    """
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def describe() -> dict[str, object]:
    """The facts that go into every log."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": default_device(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16": fast_bf16(default_device()),
    }


def peak_memory() -> float | None:
    """The most memory that this process has held at once, in MiB: resident, with all libraries that
    it has loaded; it never falls. None where the system does not say (outside of Linux).
    """
    # Not `resource.getrusage`: its number includes what the parent held when it began this process.
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return None

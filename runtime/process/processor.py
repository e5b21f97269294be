"""What compiled code depends on of this machine's processor, by Linux's word, elsewhere by LLVM's.

Linux is asked first because it answers without LLVM, whose library takes 40 MB: what runs XLA's kernels alone, such as a
report, never loads it.
"""

from __future__ import annotations

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
X86 = ("vendor_id", "cpu family", "model", "stepping", "flags")
ARM = ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features")


def processor() -> tuple[str, ...]:
    """Return the model of the processor and its features."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    said = {name.strip(): value.strip() for name, _, value in pairs}
    for fields in (X86, ARM):
        if all(said.get(field) for field in fields):
            return tuple(said[field] for field in fields)
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()

"""Unpack from a wheel the files that a program needs to link libtorch for the CPU.

    python3 unpack_libtorch.py WHEEL DESTINATION

From PyPI's torch wheel it takes the headers and the CPU libraries. The Linux wheel's libtorch_cpu.so also
needs two small CUDA libraries for its profiler, which are in separate wheels; the script prints the
requirement for them. Given one of those wheels, the script takes its library.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path, PurePosixPath

# Files that only a GPU or Python needs; everything else in torch/lib is taken, since wheels for other processors
# have other libraries there.
LEFT_OUT = re.compile(r"lib(torch_cuda|torch_python|torch_nvshmem|c10_cuda|caffe2_nvrtc)")
PROFILER = re.compile(r"lib(cudart|cupti)\.so\.\d+$")


def destination(name: str) -> PurePosixPath | None:
    """Where a file of the wheel goes, below the libtorch folder; None for a file that is not needed."""
    path = PurePosixPath(name)
    if path.parts[:2] == ("torch", "include"):
        return path.relative_to("torch")
    if path.parts[:2] == ("torch", "lib") and not LEFT_OUT.match(path.name):
        return PurePosixPath("lib", path.name)
    if path.parts[0] == "torch.libs" or PROFILER.match(path.name):
        return PurePosixPath("lib", path.name)
    if path.parts[0].endswith(".dist-info") and path.name.upper().startswith("LICENSE"):
        return PurePosixPath("licenses", path.parts[0].split("-")[0], *path.parts[2:])
    return None


def profiler_packages(wheel: zipfile.ZipFile) -> str:
    """The requirement for the profiler's libraries, pinned as in the torch wheel's metadata."""
    name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    pinned = re.search(r"^Requires-Dist: cuda-toolkit\[.*\](==[\w.]+)", wheel.read(name).decode(), re.M)
    if pinned is None:
        sys.exit(f"{name} pins no cuda-toolkit, which libtorch_cpu.so needs")
    return f"cuda-toolkit[cudart,cupti]{pinned[1]}"


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    with zipfile.ZipFile(source) as wheel:
        for name in wheel.namelist():
            place = destination(name)
            if place is None or name.endswith("/"):
                continue
            out = target / place
            out.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(name) as packed, out.open("wb") as plain:
                while chunk := packed.read(1 << 20):
                    plain.write(chunk)
        cpu = target / "lib" / "libtorch_cpu.so"
        if source.name.startswith("torch-") and cpu.exists() and b"libcupti.so" in cpu.read_bytes():
            print(profiler_packages(wheel))


main()

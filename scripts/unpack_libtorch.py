"""Unpack from a wheel the files that a program needs to link libtorch.

    python3 unpack_libtorch.py cpu|cuda WHEEL DESTINATION

From PyPI's torch wheel it takes the headers and the libraries: for `cpu` only those of the CPU, and for `cuda` all of
them, at the places where they look for each other. Given the torch wheel, it prints the requirements for the wheels that
these libraries need besides, as pip reads them; given one of those wheels, it takes its libraries. The Linux wheel's
libtorch_cpu.so needs two small CUDA libraries for its profiler.
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
# What libtorch_cuda needs is in wheels of these names; the others are for Python.
FOR_CUDA = re.compile(r"Requires-Dist: ((?:nvidia|cuda-toolkit)[\w.-]*.*)")


def destination(variant: str, name: str) -> PurePosixPath | None:
    """Where a file of the wheel goes, below the libtorch folder; None for a file that is not needed."""
    path = PurePosixPath(name)
    if path.parts[0].endswith(".dist-info") and path.name.upper().startswith("LICENSE"):
        return PurePosixPath("licenses", path.parts[0].split("-")[0], *path.parts[2:])
    if variant == "cuda":
        # The libraries find each other by their relative places.
        wanted = path.parts[:2] in (("torch", "include"), ("torch", "lib")) or path.parts[0] in ("torch.libs", "nvidia")
        return path if wanted and "libtorch_python" not in path.name else None
    if path.parts[:2] == ("torch", "include"):
        return path.relative_to("torch")
    if path.parts[:2] == ("torch", "lib") and not LEFT_OUT.match(path.name):
        return PurePosixPath("lib", path.name)
    if path.parts[0] == "torch.libs" or PROFILER.match(path.name):
        return PurePosixPath("lib", path.name)
    return None


def requirements(variant: str, wheel: zipfile.ZipFile) -> list[str]:
    """The requirements for the other wheels, pinned as in the torch wheel's metadata."""
    name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = wheel.read(name).decode()
    if variant == "cuda":
        # crt: headers that a program with CUDA graphs is compiled with, a few hundred kB.
        needed = FOR_CUDA.findall(metadata)
        return [line.replace("cuda-toolkit[", "cuda-toolkit[crt,") for line in needed]
    pinned = re.search(r"^Requires-Dist: cuda-toolkit\[.*\](==[\w.]+)", metadata, re.M)
    if pinned is None:
        sys.exit(f"{name} pins no cuda-toolkit, which libtorch_cpu.so needs")
    return [f"cuda-toolkit[cudart,cupti]{pinned[1]}"]


def main() -> None:
    variant, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    with zipfile.ZipFile(source) as wheel:
        for name in wheel.namelist():
            place = destination(variant, name)
            if place is None or name.endswith("/"):
                continue
            out = target / place
            out.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(name) as packed, out.open("wb") as plain:
                while chunk := packed.read(1 << 20):
                    plain.write(chunk)
        cpu = target / "lib" / "libtorch_cpu.so"
        profiler = variant == "cpu" and cpu.exists() and b"libcupti.so" in cpu.read_bytes()
        if source.name.startswith("torch-") and (profiler or variant == "cuda"):
            print("\n".join(requirements(variant, wheel)))


main()

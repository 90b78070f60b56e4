#!/usr/bin/env python3
"""Compare the losses of two metrics.json, and say where a run computed. scripts/gpu_check.py uses it.

    python3 scripts/gpu_compare.py METRICS METRICS [TOLERANCE]
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path


def compare(expected: dict, found: dict, tolerance: float) -> tuple[list[list], list[str]]:
    """The losses of two metrics side by side, one row per epoch, and the list of failures."""
    rows, wrong = [], []
    names = [[fit["name"] for fit in metrics["fits"]] for metrics in (expected, found)]
    if names[0] != names[1] or not names[0]:
        wrong.append(f"the fits are {names[0]} and {names[1]}")
    for one, two in zip(expected["fits"], found["fits"]):
        if len(one["epochs"]) != len(two["epochs"]) or not one["epochs"]:
            wrong.append(f"{one['name']}: {len(one['epochs'])} epochs and {len(two['epochs'])}")
        for a, b in zip(one["epochs"], two["epochs"]):
            pairs = [(a[loss], b[loss]) for loss in ("trn", "val")]
            numbers = all(isinstance(x, (int, float)) and math.isfinite(x) for pair in pairs for x in pair)
            apart = max(abs(y - x) / abs(x) if x else abs(y) for x, y in pairs) if numbers else math.inf
            rows.append([one["name"], a["epoch"], *pairs[0], *pairs[1], apart])
            if not apart <= tolerance:
                wrong.append(f"{one['name']}, epoch {a['epoch']}: training {pairs[0][0]} and {pairs[0][1]}, "
                             f"validation {pairs[1][0]} and {pairs[1][1]}: more than {tolerance:g} apart")
    return rows, wrong


def wrong_device(metrics: dict, device: str) -> list[str]:
    """Reports a run that should have been on `device`, and was on another one by what it says or by its parameters."""
    places = {metrics["device"], *(str(fit.get("device")) for fit in metrics["fits"])}
    return [f"a fit that should run on {device} ran on {place}" for place in sorted(places) if not place.startswith(device)]


def table(head: list[str], rows: list[list]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def main() -> None:
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    first, second = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
    rows, wrong = compare(first, second, float(sys.argv[3]) if len(sys.argv) == 4 else 1e-3)
    for row in rows:
        print(*row)
    if wrong:
        sys.exit("\n  ".join(["the losses differ", *wrong]))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Execute notebooks in the kernel `lecture5`, and compare what their cells show with what the program recorded in them.

scripts/live.sh check calls it. It needs nbclient. The exit status is 0 when every cell shows the same, and otherwise 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

PICTURE = re.compile(r'src="data:image/png;base64,([^"]+)"')


def recorded(outputs) -> dict:
    """What the kernel should show: printed lines, then, from the first other output on, everything as one text."""
    printed, texts, tables, pictures = "", [], [], []
    for output in outputs:
        if output.output_type == "stream":
            if texts:
                texts.append(output.text.rstrip())
            else:
                printed += output.text
            continue
        texts.append(output.data["text/plain"].rstrip())
        if "text/html" in output.data:
            tables.append(output.data["text/html"])
        if "image/png" in output.data:
            pictures.append(output.data["image/png"].replace("\n", ""))
    return {"printed": printed, "text": "\n".join(texts), "tables": tables, "pictures": pictures}


def live(outputs, tables) -> dict:
    """What the kernel has shown. `tables` are those to look for: the kernel's HTML also has everything else."""
    printed = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")
    shown = [o.data for o in outputs if o.output_type in ("execute_result", "display_data")]
    html = "".join(data.get("text/html", "") for data in shown)
    return {
        "printed": printed,
        "text": "\n".join(data.get("text/plain", "") for data in shown),
        "tables": [table for table in tables if table in html],
        "pictures": PICTURE.findall(html),
    }


def failures(outputs) -> str:
    """The kernel reports a panic and a failed `?` as success, and prints them on the standard error."""
    errors = [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]
    errors += [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(errors)).strip()


def shorten(value) -> str:
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text)} characters)"


def differences(outputs, shown) -> list[str]:
    """How a cell differs from its record, a line or two each."""
    wrong = []
    if failed := failures(shown):
        wrong.append(f"it failed: {failed}")
    wanted = recorded(outputs)
    found = live(shown, wanted["tables"])
    for what, value in wanted.items():
        if isinstance(value, str):
            # The kernel drops empty lines at the beginning of a text.
            if found[what].strip("\n") != value.strip("\n"):
                wrong.append(f"{what}\n      recorded {shorten(value)!r}\n      live     {shorten(found[what])!r}")
        elif found[what] != value:
            wrong.append(f"{what}: {len(value)} recorded, {len(found[what])} live, and they are not the same")
    return wrong


def check(path: Path, kernel: str, verbose: bool) -> list[str]:
    """Run one notebook from top to bottom; a line for each cell that differs."""
    notebook = nbformat.read(path, as_version=4)
    records = [cell.get("outputs", []) for cell in notebook.cells]
    client = NotebookClient(notebook, kernel_name=kernel, timeout=900, startup_timeout=900, allow_errors=True)
    wrong, began = [], time.monotonic()
    with client.setup_kernel():
        started = time.monotonic() - began
        for at, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            begun = time.monotonic()
            try:
                client.execute_cell(cell, at)
            except (CellTimeoutError, DeadKernelError) as error:
                wrong.append(f"  {cell.id}: {error}")
                break
            differs = differences(records[at], cell.outputs)
            wrong += [f"  {cell.id}: {line}" for line in differs]
            if verbose:
                print(f"  {time.monotonic() - begun:6.2f} s  {cell.id}{'  DIFFERS' if differs else ''}", flush=True)
    took = time.monotonic() - began
    verdict = f"{len(wrong)} differences" if wrong else "the same"
    print(f"{path.stem}: {verdict} ({took:.1f} s, of which the kernel's start {started:.1f} s)", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--kernel", default="lecture5")
    parser.add_argument("--verbose", action="store_true", help="the time of each cell")
    options = parser.parse_args()
    wrong = []
    for path in options.notebooks:
        wrong += check(path, options.kernel, options.verbose)
    print("\n".join(wrong), file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

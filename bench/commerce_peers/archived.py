"""Counts the archive of Headrace: `archived.py FOLDER`. Prints rows by data set and the number of files as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet as parquet


def main() -> None:
    root = Path(sys.argv[1])
    files = {name: list((root / name).rglob("*.parquet")) for name in ("orders", "cart", "views")}
    told = {name: sum(parquet.read_metadata(file).num_rows for file in found) for name, found in files.items()}
    print(json.dumps({**told, "files": sum(map(len, files.values()))}))


if __name__ == "__main__":
    main()

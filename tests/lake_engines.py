#!/usr/bin/env python3
"""Runs the blocks of data/README.md against a generated store.

    pip install duckdb deltalake pyarrow polars chdb
    python3 tests/lake_engines.py [path of the hourglass binary]
"""

import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent
binary = sys.argv[1] if len(sys.argv) > 1 else str(root / "target/release/hourglass")
blocks = re.findall(r"```python\n(.*?)```", (root / "data/README.md").read_text(), re.DOTALL)

with tempfile.TemporaryDirectory() as folder:
    store = pathlib.Path(folder) / "data/store"
    subprocess.run([binary, "generate", "--data-dir", store], check=True)
    for block in blocks:
        print(block)
        subprocess.run([sys.executable, "-c", block], check=True, cwd=folder)
print(f"{len(blocks)} blocks ran")

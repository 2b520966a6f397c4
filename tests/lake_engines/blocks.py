"""The blocks of data/README.md, run as they are against a generated store."""

import importlib.util
import re
import subprocess
import sys


def run(options, root, folder, report):
    blocks = re.findall(r"```python\n(.*?)```", (root / "data/README.md").read_text(), re.DOTALL)
    subprocess.run([options.binary, "generate", "--data-dir", folder / "data/store"], check=True)
    reader = report.reader("data/README.md", "blocks")
    for block in blocks:
        packages = re.findall(r"^(?:import|from) (\w+)", block, re.MULTILINE)
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if missing:
            report.skip(f"a block of data/README.md was skipped: {', '.join(missing)} is not installed")
            continue
        print(block, flush=True)
        done = subprocess.run([sys.executable, "-c", block], cwd=folder)
        report.read(reader, 0, [f"exit code {done.returncode} of the block above"] if done.returncode else [])

#!/usr/bin/env python3
"""100 MiB both ways over every pair of protocols: the matrix of test/e2e/test_matrix.py, with bodies that take a while.

    test/soak/matrix_bulk.py [--mib 100] [--sluice PATH]
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mib", type=int, default=100)
    options.add_argument("--sluice", default=os.path.join(ROOT, "build", "release", "sluice"))
    wanted = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(pathlib.Path(folder) / "run"),
             os.path.join(ROOT, "test", "e2e", "test_matrix.py")], check=False, cwd=ROOT,
            env={**os.environ, "SLUICE": wanted.sluice, "SLUICE_MATRIX_MIB": str(wanted.mib)}).returncode)


if __name__ == "__main__":
    main()

"""A small run of test/scale: connections that live through reloads, plugins, members and certificates."""

import json
import os
import subprocess
import sys

import pytest

SCALE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scale", "scale.py")


@pytest.mark.parametrize("kind, n", [("plain", 2000), ("ws", 500), ("tls", 200)])
def test_no_connection_is_lost_to_a_change(binary, tmp_path, kind, n):
    here = {name: value for name, value in os.environ.items() if name != "SCALE_GUEST"}
    run = subprocess.run([sys.executable, SCALE, "-n", str(n), "--kind", kind, "--hold", "4", "--beside", "1",
                          "--steps", str(n // 4), "--sluice", binary,
                          "--keep", str(tmp_path / "out"), "--results", str(tmp_path / "results"), "--seconds", "300"],
                         env=here, capture_output=True, text=True, timeout=400, check=False)
    assert run.returncode == 0, run.stdout + run.stderr + (tmp_path / "out/sluice.out").read_text()[-3000:]
    report, = (tmp_path / "results").glob("*.json")
    told = json.loads(report.read_text())
    found = told["found"]
    assert [row["idle"] for row in told["curve"]] == [0, n // 4, n]
    assert all(row["cpu_us"] > 0 for row in told["curve"])
    assert (found["opened"], found["answered"], found["lost"]) == (n, n, 0)
    assert found["reloads"] > 0 and found["plugins_replaced"] > 0 and found["requests"] > 0

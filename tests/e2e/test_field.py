"""The script that compares other programs' results with ours runs with what is installed."""

import os
import subprocess
import sys

from harness.daemon import ROOT


def test_compare_prints_a_verdict_of_each():
    result = subprocess.run([sys.executable, "-B", f"{ROOT}/tests/field/compare", "plain", "coding-gzip"], capture_output=True, text=True,
                            timeout=120, env=os.environ)
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    columns = next(line for line in lines if line[:2] == ["answers", "warrend"])
    assert ["plain"] + ["200"] * (len(columns) - 1) in lines
    assert next(line for line in lines if line[:1] == ["coding-gzip"])[1] == "502"

"""A short soak: L7 with fewer tunnels, more loss and kills in quick succession. scripts/soak is the long one."""

import os
import subprocess
import sys

from harness.daemon import ROOT, binary, is_sanitized


def test_l7_short_soak(directory):
    tunnels = "12" if is_sanitized() else "40"
    result = subprocess.run(
        [sys.executable, "-B", f"{ROOT}/tests/soak/soak.py", "--seconds", "120", "--tunnels", tunnels, "--loss", "2", "--interval", "1",
         "--kill-every", "20", "--noise", "5", "--output", directory],
        capture_output=True, text=True, timeout=300, env={**os.environ, "WARREND": os.path.abspath(binary())})
    sys.stderr.write(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    with open(f"{directory}/soak.csv", encoding="ascii") as file:
        assert len(file.readlines()) > 60
    with open(f"{directory}/soak.svg", encoding="utf-8") as file:
        assert "</svg>" in file.read()

"""The live example, run as a user runs it."""

import os
import re
import subprocess
import sys


def test_live_stream(project_root, tmp_path):
    command = [sys.executable, str(project_root / "examples" / "live_stream.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_root)}
    done = subprocess.run(
        [*command, "--smoke", "--out", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    counts = re.search(
        r"(\d+) frames received, (\d+) classified, (\d+) dropped, (\d+) flagged", done.stdout
    )
    received, classified, dropped, flagged = map(int, counts.groups())
    # How many a busy machine drops is not known, but each is accounted for.
    assert received == 400 == classified + dropped and classified > 0 == flagged
    accuracy = float(re.search(r"accuracy over the replay: (\d\.\d+)", done.stdout)[1])
    assert accuracy > 0.5  # even the short training; one in four by chance
    p50, p99, p999 = map(float, re.findall(r"p[\d.]+ ([\d.]+) ms", done.stdout))
    assert 0 < p50 <= p99 <= p999
    status = done.stderr.splitlines()[-1]
    for quantity in ("/s", "50 % F", "nats", "drift", "eV", "p99", "dropped"):
        assert quantity in status
    assert (tmp_path / "live_stream.png").stat().st_size > 10_000

"""Curate with an LLM cast over HTTP: 200 ms a call, 64 rows in flight. Wall time over what latency alone allows.

Latency alone: a row of any number of candidates is four calls deep (write; two critics at once; judge; reflect), so N
rows with W in flight take N / W x 4 x latency when the client costs nothing and the endpoint answers any number of
calls at once.
"""

import tempfile
from pathlib import Path

from bench.measured import kindling
from bench.served import project, scripted_server, stats

ROWS, IN_FLIGHT, LATENCY_S, DEPTH = 500, 64, 0.2, 4


def run(queries: Path) -> None:
    for candidates in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder, scripted_server("--latency-ms", str(1000 * LATENCY_S)) as port:
            project(Path(folder), port, max_in_flight=IN_FLIGHT * candidates * 2)
            common = ("--limit", str(ROWS), "--candidates", str(candidates), "--set", f"curate.in_flight={IN_FLIGHT}")
            done = kindling("curate", str(queries.resolve()), "--out", "run", *common, cwd=Path(folder))
            counts, server = done.answer["rows"], stats(port)
        worked = sum(counts.values()) - counts.get("dropped", 0)
        calls = server["answered"]
        least = worked / IN_FLIGHT * DEPTH * LATENCY_S
        work_s = done.answer["work_s"]
        print(
            f"{candidates} candidates: {calls} calls, {server['repeated']} repeated; work"
            f" {work_s:.1f} s = {work_s / least:.2f} x latency alone ({least:.1f} s), all {done.wall_s:.1f} s;"
            f" CPU {1000 * done.answer['work_cpu_s'] / calls:.2f} ms a call, peak {done.peak_mb:.0f} MB"
        )

"""`python -m bench [NAME ...] [--queries FILE]`: run benchmarks and print their figures.

    embedded    curate with the embedded cast: rows a second, bytes equal twice, what length decides
    http        curate with an LLM cast against the scripted server: wall time over what latency allows, CPU a call
    kill        the same, killed half-way and resumed: calls repeated, rows lost
    client_cpu  CPU of one chat call, ours beside the stock client and a bare one
    rewards     the reward of a training step with a judge over HTTP: time over one judge call

`--queries` takes a file with one query a line; without it the shipped samples are used, which are few.
"""

import argparse
import importlib
from importlib.resources import files
from pathlib import Path

NAMES = ("embedded", "http", "kill", "client_cpu", "rewards")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}; default: all")
    parser.add_argument("--queries", type=Path, help="a file with one query a line")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]}; there are {', '.join(NAMES)}")
    queries = given.queries or Path(str(files("kindling.prompts").joinpath("greetings/queries.txt")))
    if not queries.exists():
        parser.error(f"{queries}: no such file")
    for name in given.names or NAMES:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"bench.{name}").run(queries)


if __name__ == "__main__":
    main()

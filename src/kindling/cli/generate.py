"""`kindling generate`: texts from a policy, for a file of queries or for one.

A file's texts become rows with what every later step reads: `query` and `response` (`kindling judge`,
`--source file:`), `prompt` and `completion` (TRL). The output appears when the last text is there.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kindling.cli import options

if TYPE_CHECKING:
    from kindling.rl.policy.sampling import Sample, Sampler, Sampling


def generate(
    model: Annotated[str, typer.Argument(help="A folder with a model, or the name of one on the hub.")],
    queries: Annotated[
        Path | None, typer.Argument(help="Queries: .txt (one a line), .jsonl, .csv or .parquet.", show_default=False)
    ] = None,
    query: Annotated[str | None, typer.Option(help="One query instead of a file; its texts are printed.")] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="Texts a query.", min=1)] = 1,
    out: Annotated[Path | None, typer.Option(help="The .jsonl file to write; must not exist.")] = None,
    column: Annotated[str, typer.Option(help="The column that holds the query.")] = "query",
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token each time.", min=0)] = 1.0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens of this share.", min=0.01, max=1)] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(help="Cut a text off after this many tokens.", min=1)] = 96,
    batch: Annotated[int, typer.Option(help="Texts drawn together.", min=1)] = 64,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="torch decides", min=1)] = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Let a policy write: one query to the terminal as it is written, a file of queries to a file.

    [bold]Examples[/bold]

    kindling generate runs/sft/model --query "..."

    kindling generate runs/sft/model queries.txt --n 4 --out samples.jsonl
    """
    from kindling.errors import InputError
    from kindling.rl.policy.runtime import prepare
    from kindling.rl.policy.sampling import Sampler, Sampling
    from kindling.rl.training.runner import loading
    from kindling.tables import check_new_file

    sampling = Sampling(temperature, top_p, max_new_tokens, seed)

    def opened() -> Sampler:
        prepare(threads)
        with loading(model):
            return Sampler(model, threads, batch)

    if (queries is None) == (query is None):
        raise InputError("no queries: name a file, or give --query" if query is None else "a file or --query, not both")
    if query is not None:
        if not query.strip():
            raise InputError("--query is empty: say what is to be written")
        if out is not None:
            raise InputError("--out goes with a file of queries; the texts for --query are printed")
        _write_one(opened(), query, n, sampling, as_json=json)
        return
    assert queries is not None
    if out is None:
        raise InputError("--out FILE.jsonl is missing: where the texts are to go")
    check_new_file(out, ".jsonl")
    texts = _queries(queries, column)
    _write_all(opened(), texts, n, sampling, out, as_json=json)


def _queries(file: Path, column: str) -> list[str]:
    """The distinct queries of the file, without blank ones."""
    from kindling.errors import InputError
    from kindling.tables import read_rows

    texts = [row[column] for row in read_rows(file, (column,), column)]
    found = list(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))
    if not found:
        raise InputError(f"{file}: no queries in column {column!r}")
    return found


def _write_one(sampler: "Sampler", query: str, n: int, sampling: "Sampling", *, as_json: bool) -> None:
    """A single text is shown as it is written; several, one after the other."""
    import sys

    from kindling.cli import console

    def show(text: str) -> None:
        sys.stdout.write(console.plain(text))
        sys.stdout.flush()

    if n == 1 and not as_json:
        samples = [sampler.stream(query, show, sampling)]
    else:
        samples = list(sampler.draw([query], n, sampling))
    if as_json:
        console.answer([_row(sample, sampler.name) for sample in samples])
    elif n > 1:
        for sample in samples:
            console.out.print(console.plain(sample.text))
    if cut := sum(not sample.finished for sample in samples):
        console.note(f"{cut} of {n} cut off at {sampling.max_new_tokens} tokens; --max-new-tokens allows more")


def _write_all(
    sampler: "Sampler", queries: list[str], n: int, sampling: "Sampling", out: Path, *, as_json: bool
) -> None:
    import time

    from kindling.cli import console
    from kindling.tables import write_jsonl

    total = len(queries) * n
    seen: list[Sample] = []

    def rows() -> Iterator[dict[str, Any]]:
        with console.progress("generate", total, quiet=as_json) as advance:
            for sample in sampler.draw(queries, n, sampling):
                seen.append(sample)
                advance(len(seen))
                yield _row(sample, sampler.name)

    started = time.monotonic()
    write_jsonl(out, rows())
    seconds = time.monotonic() - started
    tokens = sum(sample.tokens for sample in seen)
    summary = {
        "out": str(out),
        "queries": len(queries),
        "texts": len(seen),
        "different": len({sample.text for sample in seen}),
        "cut_off": sum(not sample.finished for sample in seen),
        "tokens": tokens,
        "seconds": round(seconds, 1),
        "tokens_per_second": round(tokens / seconds, 1),
    }
    if as_json:
        console.answer(summary)
        return
    console.table("Texts", ("", ""), [(name.replace("_", " "), value) for name, value in summary.items()])
    if summary["cut_off"]:
        console.note(f"{summary['cut_off']} cut off at {sampling.max_new_tokens} tokens; --max-new-tokens allows more")


def _row(sample: "Sample", model: str) -> dict[str, Any]:
    """A text with its query, for people and judges, and as TRL's prompt and completion."""
    from kindling.rl.formats import prompt, response

    return {
        "query": sample.query,
        "response": sample.text,
        "prompt": prompt(sample.query),
        "completion": response(sample.text),
        "index": sample.index,
        "finished": sample.finished,
        "tokens": sample.tokens,
        "model": model,
    }

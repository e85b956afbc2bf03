"""What an evaluation leaves when every text is judged: the scorecard, and every text with what every judge said of it.

Both are made of the lines that stand, so that a resume with other judges makes them anew.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from kindling.agents.retriever import corpus_file, load_examples
from kindling.cli.comparing import Comparing
from kindling.cli.kept import Kept
from kindling.cli.preparation import Evaluation
from kindling.eval.scorecard import build
from kindling.eval.scorecard.card import FILE, FORMAT, Asked, Scorecard, save_scorecard
from kindling.eval.scorecard.sheets import Sheet, Written
from kindling.eval.scorecard.wording import FindTaboo
from kindling.runs import RunFolder, versions
from kindling.tables import sha256, write_jsonl

LONG = 0.9


def score(evaluation: Evaluation, kept: Kept, pairs: Comparing | None, run: RunFolder) -> Scorecard:
    """Make the scorecard and write it, and the records, into the run folder."""
    request, bench, sheets = evaluation.request, evaluation.bench, sheets_of(evaluation, kept)
    duels = pairs.duels(evaluation.rows, sheets, evaluation.comparer_free_of) if pairs else None
    found = build.measure(evaluation.rows, sheets, bench.models, bench.judges, _tools(evaluation), duels)
    groups = build.groups(evaluation.rows)
    settings = evaluation.pack.settings
    scorecard = Scorecard(
        format=FORMAT,
        task=request.config.project.task,
        title=settings.title,
        language=settings.language,
        asked=Asked(
            file=request.queries.name,
            sha256=sha256(request.queries),
            queries=len({row.query for row in evaluation.rows}),
            samples=request.samples,
            groups={name: len(places) // request.samples for name, places in groups.items()},
        ),
        models=bench.models,
        judges=bench.judges,
        cards=found.cards,
        comparisons=found.comparisons,
        strengths=found.strengths,
        power=found.power,
        conclusions=found.conclusions,
        sampling=request.sampling,
        seed=request.seed,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_jsonl(run.path / "records.jsonl", _records(evaluation, kept))
    save_scorecard(run.path / FILE, scorecard)
    return scorecard


def sheets_of(evaluation: Evaluation, kept: Kept) -> list[Sheet]:
    """A sheet for each model."""
    return [_sheet(evaluation, model.name, kept) for model in evaluation.bench.models]


def _sheet(evaluation: Evaluation, model: str, kept: Kept) -> Sheet:
    """What a model wrote, with the scores of every judge."""
    lines = [kept.texts[model, row.query, row.index] for row in evaluation.rows]
    scores = {}
    for place, plan in enumerate(evaluation.bench.plans):
        template = evaluation.bench.judges[place].template
        said = [None if one.failure else kept.verdict(plan, template, (one.query, one.text)) for one in lines]
        scores[plan.judge] = np.array([np.nan if one is None or one.score is None else one.score for one in said])
    return Sheet(model, tuple(Written(one.text, one.failure, one.reason) for one in lines), scores)


def _records(evaluation: Evaluation, kept: Kept) -> list[dict[str, Any]]:
    """Every text with what every judge said of it, row by row."""
    bench = evaluation.bench
    found = []
    for row in evaluation.rows:
        for model in bench.models:
            line = kept.texts[model.name, row.query, row.index]
            said = {
                plan.judge: kept.verdict(plan, judge.template, (line.query, line.text))
                for plan, judge in zip(bench.plans, bench.judges, strict=True)
                if line.failure is None
            }
            record = {"model": model.name, "group": row.group, "query": row.query, "index": row.index}
            ended = {"response": line.text, "failure": line.failure, "why": line.reason}
            found.append({**record, **ended, "verdicts": said})
    return found


def _tools(evaluation: Evaluation) -> build.Tools:
    request, pack = evaluation.request, evaluation.pack
    return build.Tools(
        make=evaluation.make,
        find_taboo=_taboo(evaluation),
        training=evaluation.training,
        long=request.long or _long(evaluation),
        unit="characters" if pack.settings.language == "zh" else "words",
        band=request.band,
        seed=request.seed,
    )


def _long(evaluation: Evaluation) -> int:
    """What nine in ten of the task's good examples do not exceed, in characters."""
    examples = load_examples(corpus_file(evaluation.request.config, evaluation.pack))
    lengths = sorted(len(one.response) for one in examples)
    return lengths[min(len(lengths) - 1, int(LONG * len(lengths)))] if lengths else 0


def _taboo(evaluation: Evaluation) -> FindTaboo | None:
    """What finds wording that the task's lexicon forbids; None for a task without such a check."""
    from kindling.agents.embedded.cast import LEXICON, embedded_examiner

    pack = evaluation.pack
    if not any((folder / LEXICON).is_file() for folder in pack.folders):
        return None
    examiner = embedded_examiner(pack)
    if "taboo" not in examiner.lexicon.checks:
        return None

    def find(query: str, response: str) -> list[str]:
        found = examiner.examine(evaluation.make(query, response))
        return [one.evidence for one in found if one.check == "taboo"]

    return find

"""The drawings in docs/architecture.md, made from the compiled graphs; `python -m tests.graphs.draw` renews them."""

from pathlib import Path

from kindling.graphs import debate, refinement, rejection_sampling
from tests.graphs.actors import World
from tests.graphs.gamers import CountingGate, Table

PAGE = Path(__file__).parents[2] / "docs/architecture.md"
BEGIN, END = "<!-- drawings: begin -->\n", "<!-- drawings: end -->\n"


def drawings() -> str:
    """Draw every graph under its name."""
    cast = World().cast()
    graphs = {
        "Rejection sampling: one query (`graphs/rejection_sampling`)": rejection_sampling.build(cast),
        "Debate: one candidate (`graphs/debate`)": debate.build(cast),
        "Refinement: the game (`graphs/refinement`)": refinement.build(
            Table().players(), CountingGate(), refinement.Material((), (), (), ())
        ),
    }
    parts = [f"### {title}\n\n```mermaid\n{graph.get_graph().draw_mermaid()}```\n" for title, graph in graphs.items()]
    return "\n" + "\n".join(parts) + "\n"


def page_with(drawn: str) -> str:
    """Put `drawn` between the marks of the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    assert mark, f"{PAGE} has no {BEGIN.strip()} … {END.strip()}"
    return before + BEGIN + drawn + END + after


if __name__ == "__main__":
    PAGE.write_text(page_with(drawings()), encoding="utf-8")

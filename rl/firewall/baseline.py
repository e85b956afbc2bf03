"""What the policy wrote before training: the firmest reference that a run can be compared with.

Without it the first steps are the reference. They are few, and a policy that grows does so from the first of them.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from random import Random

from kindling.rl.firewall.report import Sample
from kindling.rl.policy.sampling import Sampler, Sampling


def draw(
    model: str,
    queries: Sequence[str],
    count: int,
    sampling: Sampling,
    typical: Callable[[str], float | None] = lambda query: None,
) -> tuple[Sample, ...]:
    """`count` completions of `model`, without rewards: one to a query, or more where there are fewer queries than that.

    They follow from the model, the queries and the seed of `sampling`, so every process of a run, and a resumed one,
    has the same; none for a `count` of 0. Raises `InputError` if there is no model.
    """
    if not count:
        return ()
    distinct = list(dict.fromkeys(queries))
    chosen = Random(sampling.seed).sample(distinct, min(count, len(distinct)))  # noqa: S311 - reproducible, no secret
    each = -(-count // len(chosen))
    written = islice(Sampler(model).draw(chosen, each, sampling), count)
    return tuple(Sample(one.query, one.text, None, typical(one.query)) for one in written)

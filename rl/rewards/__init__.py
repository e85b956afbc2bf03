"""The reward of a reinforcement run: one async function for the trainer, made of documented terms.

    reward = (Π gates) × (Σ weightᵢ · qualityᵢ) / (Σ weightᵢ)      in [0, 1], or None

    quality   says how good a text is: the judge's score, a reward model's. More of one can make up for less of another.
    gates     say what no quality makes up for: a missed request, a length beyond what good texts of that kind have,
              repetition, a near-copy of another text of the group, a line that answers every query. Each lies in
              [0, 1] and is 1 over a whole range of what is normal: inside the range there is no slope to climb, so
              there is nothing to win there.

At the end, what length alone explains of the rewards of a batch is taken out of them, and lengths that have drifted are
led back (`length_control.py`), which may carry a reward a little out of [0, 1].

`None` is a row that could not be judged. It is None as a whole as soon as one term failed, never a zero: a trainer that
sees None gives the row advantage 0 and leaves it out of the baseline of its group, where zero would punish the text.

    terms.py                what a term is, and what it gets to see
    judging.py              a judge behind a memory and a bound on calls at a time, opened on the trainer's event loop
    quality.py              the judge's score; a reward model's score
    shape.py                verifiable requests, length band, repetition, diversity within the group
    commonplace.py          what is said to all queries alike
    length_control.py       a reward without what length explains of it, and lengths held where they were
    phrases.py, ngrams.py   what texts have in common
    reward.py               their composition, and the record of every completion
"""

"""Rewards over HTTP, for trainers that are not ours: any judge, behind a plain route and OpenRLHF's.

    scoring    many (query, response) pairs at once to verdicts, each pair judged once, none later than its time limit
    openrlhf   OpenRLHF's remote reward protocol: what it sends, what it takes, and how the response is cut out
    app        the HTTP application: routes, limits, the token, errors in one line

What could not be judged is said to be so in every protocol: null and the reason where there is a null, and an answer
503 where there is none. No route ever gives 0 for it.

Left out: reasoning before the text is judged as part of the text; and no limit holds on how many requests wait.
"""

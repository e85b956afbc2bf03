"""The embedded cast: every role of the debate offline, from a task pack's `lexicon.toml` and `grammar.toml`.

    lexicon   what the pack knows, checked, and one scanner for all of it
    reading   what a query asks for            checks    what a text shows, as evidence
    examiner  both, found once a case          debate    critics, judge and reflector over the findings
    grammar   fragments, checked               writer    drafts from them      flaws   how drafts go wrong
    generator the strong and the weak one      cast      all of it for a pack

No model, no network, no randomness but the seed's. The code knows nothing of any task: another pack, in another
language, brings its own two files.
"""

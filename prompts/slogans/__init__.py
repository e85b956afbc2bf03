"""The task pack for one-line product slogans: templates, principles, examples, queries, lexicon, grammar, cases."""

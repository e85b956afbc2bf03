"""The task pack for Chinese greetings: templates, principles, examples, sample queries, lexicon, grammar, cases."""

"""kindling: teach small language models to write well, with AI feedback whose numbers can be believed."""

__version__ = "0.1.0"

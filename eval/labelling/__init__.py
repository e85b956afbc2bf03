"""Labels from people: what they answer, where it is kept, the page that asks, and how far they agree."""

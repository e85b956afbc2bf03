"""The page itself: template, style sheet, script."""

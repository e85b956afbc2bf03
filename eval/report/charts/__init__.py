"""Charts as inline SVG: lines over steps, intervals on a common axis, columns, a bar of shares.

They are fluid without a script: x is in percent of the width, y in pixels, so that text keeps its size from 350 to
1,000 pixels. A line, whose points cannot be percentages, is drawn in a nested drawing that is stretched sideways; its
stroke is not. Colours are classes of the page's style sheet, so that one drawing serves light, dark and print. Every
chart has a title, a description in words, ticks at round numbers, and labels beside what they name, not a legend.

All text enters through `ElementTree`, which escapes it.
"""

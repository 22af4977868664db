"""The entity browser's own logic; its pages are in `entities.admin`.

state.py         what an address of the browser asks for, and back
builder.py       a condition tree as the filter builder shows it, faults beside their place
code.py          the same search as curl and as Python
suggestions.py   names and values to choose from
words.py         a search in words
tables.py        the page's values, and which columns are worth showing
saved.py         searches that members keep
"""

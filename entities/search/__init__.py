"""Search: JSON → query (checked, plain data) → SQL over the document. `query` knows no SQL, `sql` no JSON."""

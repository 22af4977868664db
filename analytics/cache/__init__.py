"""How the change feed fills the hot cache. Readers use `entities.cache`, which says why a hit is never stale."""

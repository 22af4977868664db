"""Leaf helpers. They import nothing of the apps, so that every app may import them."""

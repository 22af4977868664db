"""Indexes of attributes: what is worth one, and building and dropping them beside everything that goes on."""

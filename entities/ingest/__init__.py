"""The one way into the data plane: lines → COPY → stage → upsert. Imports and single writes share it."""

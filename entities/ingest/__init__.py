"""The way into the data plane: lines → COPY → stage → upsert; and one statement for a single write, see `single`."""

"""The HTTP doors of the data plane: each translates, makes one call, translates back."""

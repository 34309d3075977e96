"""The gates: each looks at one side of an artifact and gives figures with their limits."""

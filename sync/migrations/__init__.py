"""How the state's database came to its present form, one file a step."""

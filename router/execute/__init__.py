"""How plans run: one file a kind of plan; `compile` turns a plan into a runner."""

"""The control plane's own process: leads, watches health, divides limits. `python -m controlplane`."""

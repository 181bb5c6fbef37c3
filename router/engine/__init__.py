"""Runs what the planner decided: the answers of several shards become one answer of one MySQL."""

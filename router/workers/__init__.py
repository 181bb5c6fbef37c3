"""The processes that serve clients, their start, their talk with the main process, and how they go."""

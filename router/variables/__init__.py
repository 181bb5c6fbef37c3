"""System variables: what becomes of each when a session sets it, and what reading it gives."""

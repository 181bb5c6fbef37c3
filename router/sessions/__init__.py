"""What a client has set and holds: the session, its transaction, what it is told, what it may do."""

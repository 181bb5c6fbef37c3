"""A client's connection: from its accept over login, commands and parking to its end."""

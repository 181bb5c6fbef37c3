"""The serverless SQL API: one statement a request, over HTTP, as PlanetScale's driver for JavaScript speaks it.

    api         a request of the main process -> a session, fresh, of a token, or held -> its answer
    connection  stands in the place of a client's connection to a `Session`, and collects what it is told
    answer      packets of the protocol -> the JSON of a result
    session     what a session keeps between two requests, as plain values
    token       such values, signed, as the opaque `session` that travels with each request
    codes       MySQL's error numbers -> the names that HTTP clients know; errors as responses
    proof       HTTP Basic -> the user

Invariants: between requests a session is its token, and costs nothing here; only one that holds something (an open
transaction, locks, temporary tables) is kept by the worker that has it, for a bounded time.
"""

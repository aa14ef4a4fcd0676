"""The JSON API: a door that parses strictly, calls one action or read, and says what came of it.

Promises: nobody gets in without a token or a session; what is not understood exactly is refused with a
problem (RFC 9457) that names the place, the field and what was expected, and changes nothing; a customer
learns of nobody else's things, not even whether they exist; what the OpenAPI document says is what is
served.
"""

"""Witnesses: somebody outside signs that each checkpoint grew out of all they have seen (C2SP tlog-witness).

Both sides. One who witnesses (`witnessing`, `store`, `key_file`, `server`) needs no database of Tallystick's and
no settings: a bank or a regulator runs it alone. Who is witnessed asks (`asking`), keeps what was signed and tells
when somebody falls silent (`collecting`), and a policy decides what is enough (`quorum`).

Promises: a witness signs no two histories of one log, through crashes and two requests at once; what it has signed
is durable before anybody sees it. Asking holds up no sealing.
"""

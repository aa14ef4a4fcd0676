"""The pages: a door, one file per audience. Each view parses, calls one read or action, and renders."""

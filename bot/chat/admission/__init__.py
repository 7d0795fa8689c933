"""Who is let in: which servers are served, and who may ask and vote there, now."""

# Nothing is imported here: each caller names the module it needs.

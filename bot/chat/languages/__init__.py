"""Languages: the sentences are English in the code, and gettext's catalogues have the others."""

# Nothing is imported here: each caller names the module it needs.

"""What /rate shows to whom, and what they answer, as the journal stores it."""

# Nothing is imported here: each caller names the module it needs.

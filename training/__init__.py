"""Makes the small model that ships with oxherd; not part of the installed package."""

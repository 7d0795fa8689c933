"""The formats: each module writes files as one kind of trainer reads them, and reads them again."""

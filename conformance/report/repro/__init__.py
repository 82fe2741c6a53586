"""A case as a script of its own, for the people who can mend what it shows."""

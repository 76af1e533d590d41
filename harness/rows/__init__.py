"""The rows of a table: what they are, and what is decoded for each."""

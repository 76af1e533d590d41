"""Runs as others may have them: folders without stimuli and measured data, and what is checked of them."""

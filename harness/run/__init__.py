"""One run: its plan, which stage follows which, its record and its flags."""

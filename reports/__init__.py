"""Reports: tables, figures and HTML from results alone."""

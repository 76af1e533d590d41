"""Published data sets as their own packaging holds them, one module per layout."""

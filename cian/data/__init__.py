"""Reading data sets, making training examples and grouping images; no MXNet here."""

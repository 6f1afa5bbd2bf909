"""Plans: their data types, their execution and their display."""

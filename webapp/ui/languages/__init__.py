"""The page in English and in other languages."""

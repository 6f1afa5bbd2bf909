"""Make sure that no GPU host costs money unnoticed: guards, stops, and a search for orphaned hosts."""

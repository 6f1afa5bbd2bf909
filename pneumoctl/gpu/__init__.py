"""No GPU host is left billing: guards, stops and the search for orphans."""

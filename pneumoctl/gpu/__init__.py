"""Guards, stops and a search that leave no GPU host billing."""

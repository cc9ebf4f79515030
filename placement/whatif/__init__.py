"""Questions like the one that was asked: with other nodes, links, lengths or formats; and how many nodes are enough."""

"""The wider space of a question: variants of it whose nodes are groups, or whose blocks lie in parts."""

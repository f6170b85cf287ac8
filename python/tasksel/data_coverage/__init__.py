"""How well one set of texts covers another, judged on their embeddings."""

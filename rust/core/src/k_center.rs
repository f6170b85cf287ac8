//! Greedy k-center (farthest-first traversal).

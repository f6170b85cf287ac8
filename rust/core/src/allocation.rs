//! Weights, availability and a budget become one integer quota per task.

//! Token logprobs become example confidences, and those task confidences, in log space.

"""Four numbers a generated token, measured from the logits that it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tasksel_core.errors import TaskselError

__all__ = ["TokenRecorder", "measure_tokens"]

_LOWEST_EXPONENT = -104.0
"""exp(-104) is 0 in float32, so that clamping here changes no sum and keeps 0 x -inf out of the entropy."""


def measure_tokens(logits: Any, token_ids: Any, exponentials: Any = None) -> Any:
    """Measure the tokens that were taken from logits, which are overwritten.

    With z the logits minus the logit of the token and s the sum of exp(z) over the *other* tokens, the
    logprob is -log1p(s) (exact to the last digit also near probability 1), the entropy
    log1p(s) - sum(z exp(z)) / (1 + s), the margin -expm1(max z) / (1 + s).

    Parameters
    ----------
    logits : Tensor of float32, shape (batch, vocabulary)
        Of one step.
    token_ids : Tensor of int64, shape (batch, 1)
        The most likely token of each row.
    exponentials : Tensor of float32, shape (batch, vocabulary), optional
        Room to work in.

    Returns
    -------
    Tensor of float32, shape (4, batch)
        Logprob, entropy, margin and largest z of the other tokens, which is positive where the token was not
        the most likely one.
    """
    import torch

    z = logits.sub_(logits.gather(-1, token_ids))
    z.scatter_(-1, token_ids, float("-inf"))
    second = z.amax(-1)
    # Rows that ended before emit padding, whose z may be large: kept finite here, cut later.
    z.clamp_(_LOWEST_EXPONENT, 0.0)
    exponentials = torch.exp(z, out=exponentials)
    others = exponentials.sum(-1)
    weighted = exponentials.mul_(z).sum(-1)
    log_total, inverse_total = others.log1p(), 1.0 / (1.0 + others)
    entropy = log_total - weighted * inverse_total
    margin = -second.expm1() * inverse_total
    return torch.stack([-log_total, entropy, margin, second])


@dataclass
class TokenRecorder:
    """A logits processor that changes nothing and measures each step of a greedy generation.

    A step is measured one call late, when the emitted token stands at the end of `input_ids`: the
    numbers then belong to the token that was really emitted, without a second argmax (which on a CPU
    costs more than everything done here), and the logits, which generation no longer needs, can be
    overwritten in place.

    Attributes
    ----------
    steps : list of Tensor, each float32 of shape (4, batch)
        As `measure_tokens` gives them.
    """

    steps: list[Any] = field(default_factory=list)
    _pending: Any = None
    _exponentials: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Measure the step before this one and keep `scores` (batch, vocabulary) for the next call."""
        if self._pending is not None:
            self._measure(input_ids[:, -1:])
        self._pending = scores
        return scores

    def finish(self, new_token_ids: Any) -> Any:
        """Measure the last step and return all of them.

        Parameters
        ----------
        new_token_ids : Tensor of int64, shape (batch, n_new)
            What generation returned after the prompt.

        Returns
        -------
        Tensor of float32, shape (n_new, 4, batch)
        """
        import torch

        n_new = new_token_ids.shape[1]
        # Where the stop check runs a step late (mps), one step more was measured than was returned.
        if len(self.steps) < n_new:
            with torch.inference_mode():  # the logits were made in it, if generation ran in it
                self._measure(new_token_ids[:, -1:])
        if len(self.steps) < n_new:
            raise TaskselError(f"Only {len(self.steps)} of {n_new} generated tokens passed the recorder.")
        return torch.stack(self.steps[:n_new])

    def _measure(self, token_ids: Any) -> None:
        import torch

        if self._exponentials is None:
            self._exponentials = torch.empty_like(self._pending)
        self.steps.append(measure_tokens(self._pending, token_ids, self._exponentials))
        self._pending = None

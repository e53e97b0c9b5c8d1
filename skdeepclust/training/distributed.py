"""Training by several processes, each with a share of every batch.

Every process holds all data and the same weights, and computes the embeddings of its
share; each compares samples from the gathered embeddings. A process's loss counts in
proportion to its share, so that gradients and losses are summed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from skdeepclust._utils.random import draw_seed, seeded_globals

Value = TypeVar("Value")
Sliced = TypeVar("Sliced", Tensor, range)

_EACH = 2  # samples of a batch that batch normalization needs


class Group:
    """The processes of the default group of ``torch.distributed``, or just this one.

    `device` is where this process computes; without it there is one process.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device
        self.is_single = device is None
        self.rank = 0 if self.is_single else dist.get_rank()
        self.n_processes = 1 if self.is_single else dist.get_world_size()
        self.is_first = self.rank == 0

    def share(self, batch: Sliced) -> Sliced:
        """Return what this process computes of a batch, which is the same in all."""
        return batch[self.rank :: self.n_processes]

    def gather(self, rows: Tensor, n_rows: int) -> Tensor:
        """Put the rows (n_own, ...) of all shares together, in the batch's order.

        Gradients go back to the process of each row.
        """
        if self.is_single:
            return rows
        # A sum, not torch's gather: shares may differ in size, and nothing is sorted.
        whole = rows.new_zeros(n_rows, *rows.shape[1:])
        whole[self.rank :: self.n_processes] = rows
        apply: Any = _Sum.apply  # untyped in torch
        total: Tensor = apply(whole)
        return total

    @contextmanager
    def own_draws(self, generator: torch.Generator) -> Iterator[None]:
        """Let each process draw its own numbers; all end in the same state."""
        if self.is_single:
            yield
            return
        seed = draw_seed(generator) + self.rank
        state = generator.get_state()
        generator.manual_seed(seed)
        try:
            with seeded_globals(seed, generator.device):
                yield
        finally:
            generator.set_state(state)

    def first(self, function: Callable[[], Value]) -> Value:
        """Call `function` in the first process; its result or error goes to all."""
        if self.is_single:
            return function()
        sent: list[Any] = [None, None]
        if self.is_first:
            try:
                sent[0] = function()
            except Exception as error:
                sent[1] = error
        dist.broadcast_object_list(sent, src=0, device=self.device)
        result: Value
        result, failure = sent
        if failure is not None:
            raise failure
        return result

    def same(self, value: Value) -> Value:
        """Return the first process's value, where rounding may have made others."""
        if self.is_single:
            return value
        if not isinstance(value, Tensor):
            return self.first(lambda: value)
        sent: Any = value.contiguous()
        dist.broadcast(sent, src=0)
        result: Value = sent
        return result

    def same_weights(self, network: nn.Module) -> None:
        """Give all processes the first one's weights and buffers, in place."""
        for value in network.state_dict().values():
            value.copy_(self.same(value))

    def weigh(self, terms: dict[str, Tensor], n_rows: int) -> dict[str, Tensor]:
        """Weigh means over the share of a batch, so that their sums are the whole."""
        if self.is_single:
            return terms
        part = len(self.share(range(n_rows))) / n_rows
        return {name: value * part for name, value in terms.items()}

    def sum_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Sum the gradients of all processes, in place."""
        if not self.is_single:
            weights = [p for group in optimizer.param_groups for p in group["params"]]
            _reduce([p.grad for p in weights if p.grad is not None])

    def sum_terms(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum weighed terms over the processes, in place."""
        if not self.is_single:
            _reduce([*terms.values()])
        return terms

    def average_buffers(self, network: nn.Module) -> None:
        """Average the statistics of batch normalization, in place."""
        if self.is_single:
            return
        buffers = [b for b in network.buffers() if b.is_floating_point()]
        # In float64 equal numbers have themselves as their mean.
        wide = [buffer.double() for buffer in buffers]
        _reduce(wide)
        for buffer, total in zip(buffers, wide, strict=True):
            buffer.copy_(total / self.n_processes)

    def either(self, flag: bool) -> bool:
        """Say in all processes whether `flag` is set in any of them."""
        if self.is_single:
            return flag
        flags = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(flags)
        return bool(flags)

    def check(self, hashes: dict[str, str], n_samples: int, batch_size: int) -> None:
        """Refuse shares too small, and parameters and data that differ, by hashes."""
        n, least = self.n_processes, _EACH * self.n_processes
        if min(n_samples, batch_size) < least:
            raise ValueError(
                f"batch_size={batch_size} and n_samples={n_samples} must be at least "
                f"{least} for {n} processes, each of which takes {_EACH} samples or "
                "more of a batch: start fewer processes."
            )
        everywhere: list[Any] = [None] * n
        dist.all_gather_object(everywhere, hashes)
        differ = [
            f"{name} (process {rank})"
            for rank, other in enumerate(everywhere)
            for name, value in everywhere[0].items()
            if other.get(name) != value
        ]
        if differ:
            raise ValueError(
                "fit must get the same data and parameters in all processes of the "
                f"group; these differ from process 0: {', '.join(differ)}. Pass the "
                "same in all of them."
            )


SINGLE = Group()


class _Sum(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    backward = forward


def _reduce(tensors: list[Tensor]) -> None:
    """Sum tensors over the processes, in place and by one message."""
    if not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


def current_group(device: torch.device) -> Group:
    """Return the group if ``torch.distributed`` runs several processes, else SINGLE."""
    together = dist.is_available() and dist.is_initialized()
    return Group(device) if together and dist.get_world_size() > 1 else SINGLE

"""Training by several processes, each with a share of every batch.

Nothing else knows ``torch.distributed``. Every process holds all data and the same
weights. It computes the embeddings of its share; what compares samples is computed in
each process from the gathered embeddings. A process's loss counts in proportion to its
share, so that gradients and losses are summed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from skdeepclust._utils.random import seeded_globals

Value = TypeVar("Value")
Sliced = TypeVar("Sliced", Tensor, range)

_EACH = 2  # samples of a batch that batch normalization needs


class SingleProcess:
    """One process, which has everything and shares nothing."""

    n_processes = 1
    is_first = True

    def share(self, batch: Sliced) -> Sliced:
        """Return what this process computes of a batch, which is the same in all."""
        return batch

    def gather(self, rows: Tensor, n_rows: int) -> Tensor:
        """Put the rows (n_own, ...) of all shares together, in the batch's order.

        Gradients go back to the process of each row.
        """
        return rows

    @contextmanager
    def own_draws(self, generator: torch.Generator) -> Iterator[None]:
        """Let each process draw its own numbers, from the global generators too.

        `generator` is in the same state in every process, before and after.
        """
        yield

    def first(self, function: Callable[[], Value]) -> Value:
        """Call `function` in the first process; its result or error goes to all."""
        return function()

    def same(self, value: Value) -> Value:
        """Return the first process's value, where rounding may have made others."""
        return value

    def same_weights(self, network: nn.Module) -> None:
        """Give all processes the first one's weights, in place."""

    def weigh(self, terms: dict[str, Tensor], n_rows: int) -> dict[str, Tensor]:
        """Weigh loss terms by the share of a batch, so that their sums are the whole.

        The terms are means over the share, or functions of the whole batch.
        """
        return terms

    def sum_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Sum the gradients of all processes, in place."""

    def sum_terms(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum weighed terms over the processes."""
        return terms

    def average_buffers(self, network: nn.Module) -> None:
        """Average the statistics of batch normalization, in place."""

    def either(self, flag: bool) -> bool:
        """Say in all processes whether `flag` is set in any of them."""
        return flag

    def check(self, hashes: dict[str, str], n_samples: int, batch_size: int) -> None:
        """Refuse a fit whose parameters and data, hashed by name, differ by process.

        Also one whose shares would be too small.
        """


SINGLE = SingleProcess()


class Group(SingleProcess):
    """The processes of the default group of ``torch.distributed``.

    `device` is where this process computes, and what it sends comes from.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank = dist.get_rank()
        self.n_processes = dist.get_world_size()
        self.is_first = self.rank == 0

    def share(self, batch: Sliced) -> Sliced:
        """Take every so manyth: of any batch about as many for each process."""
        return batch[self.rank :: self.n_processes]

    def gather(self, rows: Tensor, n_rows: int) -> Tensor:
        """Sum arrays that hold a process's own rows, and zeros elsewhere."""
        apply: Any = _Gather.apply  # untyped in torch
        whole: Tensor = apply(rows, n_rows, self.rank, self.n_processes)
        return whole

    @contextmanager
    def own_draws(self, generator: torch.Generator) -> Iterator[None]:
        """Seed the generators by one common draw and the number of the process."""
        device = generator.device
        draw = torch.randint(2**31 - 1, (), generator=generator, device=device)
        seed = int(draw) + self.rank
        state = generator.get_state()
        generator.manual_seed(seed)
        try:
            with seeded_globals(seed, device):
                yield
        finally:
            generator.set_state(state)

    def first(self, function: Callable[[], Value]) -> Value:
        """Send what the first process has got, or its error."""
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
        """Send the first process's value: a tensor, or what can be pickled."""
        if not isinstance(value, Tensor):
            return self.first(lambda: value)
        sent: Any = value.contiguous()
        dist.broadcast(sent, src=0)
        result: Value = sent
        return result

    def same_weights(self, network: nn.Module) -> None:
        """Send the first process's weights and buffers, one by one."""
        for value in network.state_dict().values():
            value.copy_(self.same(value))

    def weigh(self, terms: dict[str, Tensor], n_rows: int) -> dict[str, Tensor]:
        """Multiply by the share."""
        part = len(self.share(range(n_rows))) / n_rows
        return {name: value * part for name, value in terms.items()}

    def sum_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Sum them as one flat tensor, by one message a step."""
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        _reduce([p.grad for p in weights if p.grad is not None])

    def sum_terms(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum them as one tensor."""
        sums = torch.stack([*terms.values()])
        dist.all_reduce(sums)
        return dict(zip(terms, sums, strict=True))

    def average_buffers(self, network: nn.Module) -> None:
        """Average in float64, where equal numbers have themselves as their mean."""
        buffers = [b for b in network.buffers() if b.is_floating_point()]
        wide = [buffer.double() for buffer in buffers]
        _reduce(wide)
        for buffer, total in zip(buffers, wide, strict=True):
            buffer.copy_(total / self.n_processes)

    def either(self, flag: bool) -> bool:
        """Sum the flags."""
        flags = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(flags)
        return bool(flags)

    def check(self, hashes: dict[str, str], n_samples: int, batch_size: int) -> None:
        """Compare with the first process, and count."""
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
                "fit must be called alike in every process of the group, but these "
                f"differ from process 0: {', '.join(differ)}. Pass the same data and "
                "parameters in all of them."
            )


class _Gather(torch.autograd.Function):
    """Rows of all processes; see `Group.gather`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, n_rows: int, rank: int, n: int) -> Tensor:
        ctx.own = slice(rank, None, n)
        # A sum, not torch's gather: shares may differ in size, and nothing is sorted.
        whole = rows.new_zeros(n_rows, *rows.shape[1:])
        whole[ctx.own] = rows
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.own], None, None, None


def _reduce(tensors: list[Tensor]) -> None:
    """Sum tensors over the processes, in place."""
    if not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


def current_group(device: torch.device) -> SingleProcess:
    """Return the group if ``torch.distributed`` runs several processes, else SINGLE."""
    together = dist.is_available() and dist.is_initialized()
    return Group(device) if together and dist.get_world_size() > 1 else SINGLE

"""A call of a model in which only roots are left behind its encoder."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing


def call_on_roots(
    model: torch.nn.Module,
    encoder_name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    root_index: Tensor,
    num_nodes: int | None,
    nodes: list[tuple[Any, Any]],
) -> Any:
    """Calls a model and gathers roots where its encoder ends.

    Args:
        model (torch.nn.Module): The model.
        encoder_name (str): The name of its encoder.
        args (tuple): Its arguments, with what belongs to roots.
        kwargs (dict): Its keyword arguments, likewise.
        root_index (torch.Tensor): The roots, of shape :obj:`[R]`.
        num_nodes (int, optional): The number of nodes, if it is known.
        nodes (list): Pairs of what belongs to roots and what belongs to
            nodes, which takes its place as long as all nodes are there, or is
            :obj:`None` if there is no such thing.

    Returns:
        What the model returned.

    Raises:
        ValueError: If the encoder was not called or did not return one row a
            node, messages are passed after it, or something reads what nodes
            have not.
    """
    encoder = model.get_submodule(encoder_name)
    called = False

    def give_nodes(
        module: torch.nn.Module, args: Any, kwargs: Any
    ) -> tuple[Any, Any]:
        nonlocal called
        if called and module is not encoder:
            return args, kwargs
        called = called or module is encoder
        missing = [roots for roots, of in nodes if of is None]
        for value in (*args, *kwargs.values()):
            if value is not None and any(value is m for m in missing):
                raise ValueError(
                    f"'{type(module).__name__}' is given the graph of each "
                    f"node before '{encoder_name}' is done, which merged "
                    f"trees do not have; use 'DataLoader', or layers that "
                    f'treat each node alone'
                )
        return replace(args, kwargs, nodes)

    def gather_roots(module: torch.nn.Module, args: Any, out: Any) -> Tensor:
        if not isinstance(out, Tensor):
            raise ValueError(
                f"'{encoder_name}' must return a tensor of node embeddings "
                f"(got '{type(out).__name__}'); name the submodule that does "
                f'with encoder=...'
            )
        if num_nodes is not None and out.size(0) != num_nodes:
            raise ValueError(
                f"'{encoder_name}' must return one row a node (got "
                f'{out.size(0)} rows for {num_nodes} nodes); name the '
                f'submodule that does with encoder=...'
            )
        return out[root_index]

    def refuse(module: torch.nn.Module, args: Any) -> None:
        # Roots have lost their edges, and nothing need fail because of it.
        if called:
            raise ValueError(
                f"'{type(module).__name__}' passes messages after "
                f"'{encoder_name}', of which only roots are left; name the "
                f'submodule that ends with the last such layer with '
                f'encoder=...'
            )

    # What holds the encoder reads out its nodes, and so has to see roots.
    path = encoder_name.split('.')
    around = {model.get_submodule('.'.join(path[:i])) for i in range(len(path))}
    outside = set(model.modules()) - set(encoder.modules()) - around
    handles = [encoder.register_forward_hook(gather_roots)]
    for module in (encoder, *outside):
        handles.append(
            module.register_forward_pre_hook(give_nodes, with_kwargs=True)
        )
        if isinstance(module, MessagePassing) and module is not encoder:
            handles.append(module.register_forward_pre_hook(refuse))
    failure = out = None
    try:
        out = model(*args, **kwargs)
    except (IndexError, RuntimeError) as error:
        # Without the encoder, `batch` does not fit the embeddings.
        if called:
            raise
        failure = error
    finally:
        for handle in handles:
            handle.remove()
    if not called:
        raise ValueError(
            f"'{encoder_name}' was not called by '{type(model).__name__}', so "
            f'no roots were gathered; name the submodule that computes the '
            f'node embeddings'
        ) from failure
    return out


def replace(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    pairs: list[tuple[Any, Any]],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Replaces arguments that are one of some objects by others.

    Args:
        args (tuple): Arguments.
        kwargs (dict): Keyword arguments.
        pairs (list): Old and new objects.

    Returns:
        tuple: The arguments and the keyword arguments.
    """

    # By identity, since tensors are compared element by element.
    def one(value: Any) -> Any:
        return next((new for old, new in pairs if value is old), value)

    kwargs = {key: one(value) for key, value in kwargs.items()}
    return tuple(one(value) for value in args), kwargs

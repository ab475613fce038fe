"""The state of an optimizer as arrays, to be kept with a training and put back."""

from cian.base.runtime import mx


def optimizer_arrays(trainer):
    """({`opt:NAME:I`: array}, number of updates): the optimizer's state of the first device."""
    arrays, updater = {}, trainer._updaters[0]
    for index, state in updater.states.items():
        for part, value in enumerate(state if isinstance(state, tuple) else (state,)):
            if value is not None:
                arrays[f"opt:{trainer._params[index].name}:{part}"] = value.asnumpy()
    return arrays, trainer._optimizer.num_update


def restore_optimizer(trainer, arrays, updates, devices):
    """Put back what `optimizer_arrays` returned, on every device."""
    optimizer = trainer._optimizer
    optimizer.begin_num_update = optimizer.num_update = updates
    for number, (updater, device) in enumerate(zip(trainer._updaters, devices)):
        counts = optimizer._all_index_update_counts.setdefault(number, {})
        for index, parameter in enumerate(trainer._params):
            if parameter.grad_req == "null":
                continue
            parts = []
            while f"opt:{parameter.name}:{len(parts)}" in arrays:
                value = arrays[f"opt:{parameter.name}:{len(parts)}"]
                parts.append(mx.nd.array(value, ctx=device, dtype=value.dtype))
            updater.states[index] = tuple(parts) if len(parts) > 1 else (parts[0] if parts else None)
            updater.states_synced[index] = True
            counts[index] = updates

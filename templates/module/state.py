"""What a mixer carries from call to call."""

import torch


class State(dict):
    """Named tensors, one row for each sequence: pass it to the next call, it is never changed."""

    newton = None
    """How Newton's method found it, where it did: of the call that gave it, and of no copy."""

    @property
    def bytes(self):
        """The memory that the tensors take."""
        return sum(value.numel() * value.element_size() for value in self.values())

    def to(self, *args, **kwargs):
        """The state on another device; a dtype goes to real floating-point tensors alone."""

        def moved(value):
            if value.is_floating_point():
                return value.to(*args, **kwargs)
            place = torch.empty((), device=value.device).to(*args, **kwargs).device
            return value.to(place)

        return State({key: moved(value) for key, value in self.items()})

    def clone(self):
        """A copy that shares no memory."""
        return State({key: value.clone() for key, value in self.items()})

    def detach(self):
        """The same values without their history, for training on one piece after another."""
        return State({key: value.detach() for key, value in self.items()})


torch.utils._pytree.register_pytree_node(
    State,
    lambda state: (list(state.values()), list(state)),
    lambda values, keys: State(zip(keys, values, strict=True)),
)

class Recorder:
    """An optimizer that leaves weights and gradients as they are."""

    param_groups = ()

    def step(self):
        pass

    def zero_grad(self, set_to_none=True):
        pass

"""What every target shares: the file around the kernels, the op's view, the layer in torch."""

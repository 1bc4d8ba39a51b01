"""The plain PyTorch target."""

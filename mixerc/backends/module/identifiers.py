"""Names of a spec as names of Python: what Python, torch or a generated layer uses gets a `_`."""

import keyword

_LAYER_WORDS = """
self torch math functional mix past kept first position cu_seqlens mode chunk place whole wide
numbers indices as_complex int float bool dict super State Past Conv device dtype
rows streams constants states settings given after sequences size other
"""
_MODULE_WORDS = """
apply bfloat16 bias buffers children compile cpu cuda double eval extra_repr float forward half
ipu modules mtia parameters register_buffer requires_grad_ reset_parameters share_memory
state_dict step to train training type weight xpu zero_grad
"""
_OF_LAYERS = frozenset(_LAYER_WORDS.split())
_OF_MODULES = frozenset(_MODULE_WORDS.split())


def identifier(name: str) -> str:
    """A spec's name as a local name, a keyword argument or a parameter of a function."""
    return f"{name}_" if keyword.iskeyword(name) or name in _OF_LAYERS else name


def attribute(name: str) -> str:
    """A spec's name as an attribute of a torch.nn.Module."""
    taken = keyword.iskeyword(name) or name in _OF_MODULES
    return f"{name}_" if taken else name

"""Triton, or what stands for it where it is missing: the layer and the text can still be read."""

try:
    import triton
    import triton.language as tl
except ImportError:

    class Absent:
        """Any attribute is another of these, and decorating with one changes nothing."""

        def __getattr__(self, name):
            return self

        def __call__(self, *functions, **options):
            return functions[0] if functions else self

    triton = tl = Absent()
